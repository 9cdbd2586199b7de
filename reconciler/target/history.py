"""Says what happened to tags between two states of the mirror index. Pure.

An apply writes the index several times. Its writes are one run here: a run is what a process did from its first write
to its last, or to that of another process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.oci.spec import Digest
from reconciler.target.index import COPIED, REMOVED, MirrorIndex, RepositoryState

if TYPE_CHECKING:
    from reconciler.target.index import Held, TagState
    from reconciler.target.index_origin import By
    from reconciler.target.index_root import Root


class Kind(StrEnum):
    """What happened.

    ADDED      a tag is new
    MOVED      a tag points to another digest
    PLATFORMS  a tag has other platforms of the same digest
    PRUNED     a tag was removed
    RESTORED   a restore moved, added or removed a tag, and holds it
    HELD       a restore holds a tag that was there already
    RELEASED   a tag is no longer held
    COLLECTED  a digest without a tag was given up after `retain`
    """

    ADDED = "added"
    MOVED = "moved"
    PLATFORMS = "platforms"
    PRUNED = "pruned"
    RESTORED = "restored"
    HELD = "held"
    RELEASED = "released"
    COLLECTED = "collected"


class Event(Frozen):
    """One thing that happened to a tag, or to a digest without one.

    before  the digest until then; None: there was no such tag
    after   the digest from then on; None: there is no such tag any more
    early   the witness or the option by which the digest came before the mirror index had seen it for `min_age`
    """

    kind: Kind
    target: str
    tag: str | None
    before: Digest | None
    after: Digest | None
    early: str | None = None


class Run(Frozen):
    """The writes of one process that follow each other.

    roots   newest first
    before  the root that it began from; None: there was none, or it is not kept
    """

    roots: tuple[Root, ...]
    before: Root | None

    @property
    def last(self) -> Root:
        return self.roots[0]

    @property
    def serials(self) -> tuple[int, int]:
        """The serials of its first and of its last write."""
        return self.roots[-1].serial, self.roots[0].serial

    @property
    def at(self) -> datetime:
        """When it wrote last."""
        return self.last.at

    @property
    def by(self) -> By | None:
        return self.last.origin.by

    @property
    def is_first(self) -> bool:
        """Whether it began from an empty mirror, so that all that it left is its own."""
        origin = self.roots[-1].origin
        # A root of versions 1 and 2 names neither what was before it nor who wrote it.
        return self.before is None and origin.previous is None and origin.by is not None


class Happened(Frozen):
    """A run and what it did. `events`: None if the state before it is not kept."""

    run: Run
    events: tuple[Event, ...] | None


def runs(roots: Iterable[Root]) -> Iterator[Run]:
    """Groups roots, newest first, to runs. Takes one root more than it has yielded runs of."""
    group: list[Root] = []
    for root in roots:
        if group and (root.origin.by is None or root.origin.by != group[-1].origin.by):
            yield Run(tuple(group), root)
            group = []
        group.append(root)
    if group:
        yield Run(tuple(group), None)


def events(
    before: MirrorIndex, after: MirrorIndex, target: str | None = None, tag: str | None = None
) -> Iterator[Event]:
    """Yields what happened between two states, by target and tag; of one `target` or one `tag` of it if they are given.

    A tag that was written again as it was is no event.
    """
    names = before.repositories.keys() | after.repositories.keys() if target is None else {target}
    for name in sorted(names):
        old, new = before.repositories.get(name), after.repositories.get(name)
        # States of unchanged repositories are often one object, which makes a long history cheap.
        if old is not new:
            yield from _of_repository(name, old or _EMPTY, new or _EMPTY, tag)


_EMPTY = RepositoryState("")


def _of_repository(target: str, old: RepositoryState, new: RepositoryState, tag: str | None) -> Iterator[Event]:
    names = old.tags.keys() | new.tags.keys() | old.held.keys() | new.held.keys()
    for name in sorted(names if tag is None else names & {tag}):
        before, after = old.tags.get(name), new.tags.get(name)
        kind = _kind(before, after, old.held.get(name), new.held.get(name))
        if kind:
            early = after.by if after and kind in (Kind.ADDED, Kind.MOVED) else None
            yield Event(kind, target, name, before.digest if before else None, after.digest if after else None, early)
    if tag is None:
        gone = sorted(old.digests - new.digests)
        yield from (Event(Kind.COLLECTED, target, None, digest, None) for digest in gone)


def _kind(before: TagState | None, after: TagState | None, was: Held | None, held: Held | None) -> Kind | None:
    has_moved = (before and before.digest) != (after and after.digest)
    # A copy or a removal by hand is an addition, a move or a removal like any other.
    if held and held != was and not (has_moved and held.reason in (COPIED, REMOVED)):
        return Kind.RESTORED if has_moved else Kind.HELD
    if before is None:
        return Kind.ADDED if after else (Kind.RELEASED if was else None)
    if after is None:
        return Kind.PRUNED
    if has_moved:
        return Kind.MOVED
    if before.platforms != after.platforms:
        return Kind.PLATFORMS
    return Kind.RELEASED if was and not held else None
