"""Decides what a restore leads back to, from the present mirror index and the kept ones."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import UsageError
from reconciler.frozen import Frozen
from reconciler.oci.spec import Digest
from reconciler.target.history import Kind, events
from reconciler.target.index import REMOVED, RepositoryState
from reconciler.target.index_json import format_time

if TYPE_CHECKING:
    from reconciler.target.history import Event, Run
    from reconciler.target.index import MirrorIndex, TagState
    from reconciler.upkeep.history import Past


class OneTag(Frozen):
    """A restore of one tag: to a digest, to what it was at a time, or to what it was before it changed last."""

    target: str
    tag: str
    to: Digest | None = None
    at: datetime | None = None


class OneRun(Frozen):
    """A restore of all tags that a run changed, to what they were before. `serial`: of any of its writes."""

    serial: int


class NoTag(Frozen):
    """The removal of one tag."""

    target: str
    tag: str


Request: TypeAlias = OneTag | OneRun | NoTag


class Goal(Frozen):
    """What a tag is to be again.

    source    of its repository
    digest    None: there is to be no such tag
    recorded  how the mirror index had the digest; None: that is not known
    reason    what the restore leads back to
    """

    target: str
    tag: str
    source: str
    digest: Digest | None
    recorded: TagState | None
    reason: str


class Refusal(Frozen):
    """A tag that is not restored, and why."""

    target: str
    tag: str
    why: str


UNDONE = {Kind.ADDED, Kind.MOVED, Kind.PLATFORMS, Kind.PRUNED, Kind.RESTORED}
"""What a restore of a run undoes."""


def goals(request: Request, index: MirrorIndex, past: Past) -> Iterator[Goal | Refusal]:
    """Yields what each tag of a request is to be again. Raises `UsageError` if that is not known, and `StoreError`."""
    match request:
        case OneTag():
            yield _goal(request, index, past)
        case NoTag(target, tag):
            yield _removal(target, tag, index)
        case OneRun(serial):
            yield from _undone(serial, index, past)


def _goal(request: OneTag, index: MirrorIndex, past: Past) -> Goal:
    target, tag = request.target, request.tag
    observed = index.repositories.get(target)
    if observed is None:
        raise UsageError(f"{target}: the mirror index has no such repository, so the store keeps no image of it")
    if request.to:
        recorded = _recorded(target, tag, request.to, index, past)
        return Goal(target, tag, observed.source, request.to, recorded, f"to {request.to}")
    if request.at:
        state = _at(target, tag, request.at, past)
        return Goal(target, tag, observed.source, state.digest, state, f"as of {format_time(request.at)}")
    state, serial = _before_last_change(target, tag, past)
    return Goal(target, tag, observed.source, state.digest, state, f"to what it was before serial {serial}")


def _removal(target: str, tag: str, index: MirrorIndex) -> Goal:
    observed = index.repositories.get(target, _EMPTY)
    if tag not in observed.tags:
        raise UsageError(
            f"{target}:{tag}: the mirror has no such tag; `r2mirror list {target}` shows those that it has"
        )
    return Goal(target, tag, observed.source, None, None, REMOVED)


def _recorded(target: str, tag: str, digest: Digest, index: MirrorIndex, past: Past) -> TagState | None:
    """How the newest state of the mirror index that has the digest under a tag has it, under `tag` if possible."""
    states = chain((index,), (past.index(run.last) for run in past.runs()))
    return next(filter(None, (_having(one, target, tag, digest) for one in states)), None)


def _having(index: MirrorIndex, target: str, tag: str, digest: Digest) -> TagState | None:
    tags = index.repositories.get(target, _EMPTY).tags
    having = {name: state for name, state in tags.items() if state.digest == digest}
    return having.get(tag) or next(iter(having.values()), None)


_EMPTY = RepositoryState("")


def _at(target: str, tag: str, at: datetime, past: Past) -> TagState:
    served = past.at(at)
    state = served.index.repositories.get(target, _EMPTY).tags.get(tag)
    if state is None:
        raise UsageError(
            f"{target}:{tag} was not there at {format_time(at)}; `r2mirror history {target}:{tag}` shows when it was"
        )
    return state


def _before_last_change(target: str, tag: str, past: Past) -> tuple[TagState, int]:
    """Returns what the tag was before its digest changed last, and the serial of the run that changed it."""
    for run in past.runs():
        before = past.before(run)
        if before is None:
            break
        for event in events(before, past.index(run.last), target, tag):
            if event.before == event.after:
                continue
            if event.before is None:
                raise UsageError(
                    f"{target}:{tag} was added by serial {run.last.serial}, and nothing was there before; "
                    "take it out of mirrors.yaml to remove it"
                )
            return before.repositories[target].tags[tag], run.last.serial
    raise UsageError(f"{target}:{tag}: the history that is kept has no change of it; name a digest with --to")


def _undone(serial: int, index: MirrorIndex, past: Past) -> Iterator[Goal | Refusal]:
    run = _run_of(serial, past)
    before = past.before(run)
    if before is None:
        raise UsageError(f"what was there before serial {run.serials[0]} is not kept, so it cannot be undone")
    reason = f"to what it was before serial {run.serials[0]}"
    for event in [one for one in events(before, past.index(run.last)) if one.kind in UNDONE]:
        yield from _undo(event, before, index, reason)


def _undo(event: Event, before: MirrorIndex, index: MirrorIndex, reason: str) -> Iterator[Goal | Refusal]:
    target, tag = event.target, event.tag or ""
    old, observed = before.repositories.get(target, _EMPTY), index.repositories.get(target, _EMPTY)
    state, now = old.tags.get(tag), observed.tags.get(tag)
    digest = now.digest if now else None
    if digest == event.after or digest == event.before:
        source = observed.source or old.source
        yield Goal(target, tag, source, state.digest if state else None, state, reason)
    else:
        yield Refusal(target, tag, f"it has changed again since, and is {f'at {digest}' if digest else 'removed'} now")


def _run_of(serial: int, past: Past) -> Run:
    oldest = None
    for run in past.runs():
        first, last = run.serials
        if first <= serial <= last:
            return run
        if serial > last:
            break
        oldest = run.roots[-1]
    if oldest is None:
        raise UsageError(f"serial {serial}: no run has written it yet; `r2mirror history` lists those that were")
    raise UsageError(f"serial {serial} is not kept: the history begins with serial {oldest.serial}")
