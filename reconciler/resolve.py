"""Asks the sources what the mirrors' patterns mean today. Reads only: tag lists and HEAD requests.

Two rounds on an executor: the tag lists of every mirror that needs one, then what each chosen tag points at. A tag that
is immutable or pinned and already mirrored is not asked for. What fails is a value beside what was found; the judgement
on both is `desire`'s, and where images have to be signed also that of `signed`, which makes a third round.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeAlias

from reconciler.desire import Desired, desire, desire_nothing, desire_unchanged
from reconciler.errors import SourceError
from reconciler.index import MirrorIndex, RepositoryState, TagState
from reconciler.oci import Descriptor
from reconciler.selection import Chosen, Pinned, needs_listing, select
from reconciler.signatures.attached import is_attachment
from reconciler.signatures.gate import OPEN
from reconciler.signed import Judged, only_signed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Executor, Future

    from reconciler.mirrors import Mirror, Mirrors
    from reconciler.signatures.gate import Gate
    from reconciler.source import OpenSource

Listing: TypeAlias = tuple[str, ...] | SourceError
Answer: TypeAlias = Descriptor | SourceError


def resolve(
    mirrors: Mirrors,
    index: MirrorIndex,
    open_source: OpenSource,
    executor: Executor,
    only: Sequence[str] = (),
    *,
    recheck: bool = False,
    gate: Gate = OPEN,
) -> tuple[Desired, ...]:
    """Every repository of the mirrors and of the index, as it should be, in the order of their names.

    `only`: globs of targets; where there are any, the other repositories are left out altogether. `recheck`: ask for
    immutable tags too, and for the signatures of what is mirrored. Never raises `SourceError`.
    """
    asked = [mirror for mirror in mirrors.mirrors if matches_only(mirror.target, only)]
    listings = {m.target: executor.submit(_list, open_source, m.source) for m in asked if needs_listing(m.tags)}
    rounds = [
        (mirror, _ask(mirror, index, open_source, executor, listings.get(mirror.target), recheck=recheck))
        for mirror in asked
    ]
    judged = [_judged(mirror, index, listings.get(mirror.target), answers) for mirror, answers in rounds]
    desired = only_signed(judged, index, open_source, executor, gate, recheck=recheck)
    named = {mirror.target for mirror in mirrors.mirrors}
    desired += [
        desire_nothing(target, observed, prune=mirrors.prune)
        for target, observed in index.repositories.items()
        if target not in named and (observed.tags or observed.pending) and matches_only(target, only)
    ]
    return tuple(sorted(desired, key=lambda repository: repository.target))


def matches_only(target: str, only: Sequence[str]) -> bool:
    """Whether `target` is in a run limited to the globs `only`; no glob is no limit."""
    return not only or any(fnmatchcase(target, glob) for glob in only)


def _ask(
    mirror: Mirror,
    index: MirrorIndex,
    open_source: OpenSource,
    executor: Executor,
    listing: Future[Listing] | None,
    *,
    recheck: bool,
) -> dict[str, Descriptor | Future[Answer]]:
    listed = listing.result() if listing else ()
    if isinstance(listed, SourceError):
        return {}
    if mirror.signed_by:
        # Signatures have tags of their own, which nobody signs.
        listed = tuple(tag for tag in listed if not is_attachment(tag))
    observed = index.repositories.get(mirror.target, RepositoryState(mirror.source)).tags
    return {
        chosen.tag: _settled(chosen, observed.get(chosen.tag), recheck=recheck)
        or executor.submit(_resolve, open_source, mirror.source, _reference(chosen))
        for chosen in select(mirror.tags, mirror.exclude, mirror.immutable, listed)
    }


def _settled(chosen: Chosen, observed: TagState | None, *, recheck: bool) -> Descriptor | None:
    """What the tag points at where that needs no request."""
    if observed is None or recheck:
        return None
    if isinstance(chosen.pattern, Pinned):
        return observed.descriptor if chosen.pattern.digest == observed.digest else None
    return observed.descriptor if chosen.immutable else None


def _reference(chosen: Chosen) -> str:
    return str(chosen.pattern.digest) if isinstance(chosen.pattern, Pinned) else chosen.tag


def _judged(
    mirror: Mirror,
    index: MirrorIndex,
    listing: Future[Listing] | None,
    answers: dict[str, Descriptor | Future[Answer]],
) -> Judged:
    def judge(failed: Mapping[str, SourceError]) -> Desired:
        return _judge(mirror, index, listing, {**answers, **failed})

    return Judged(mirror, judge({}), judge)


def _judge(
    mirror: Mirror,
    index: MirrorIndex,
    listing: Future[Listing] | None,
    answers: Mapping[str, Answer | Future[Answer]],
) -> Desired:
    observed = index.repositories.get(mirror.target, RepositoryState(mirror.source))
    listed = listing.result() if listing else None
    if isinstance(listed, SourceError):
        return desire_unchanged(mirror, observed, str(listed))
    if listed == () and observed.tags:
        return desire_unchanged(
            mirror,
            observed,
            f"{mirror.source}: lists no tags at all, but {len(observed.tags)} are mirrored; nothing is removed. If the "
            "repository really is empty now, take the mirror out of mirrors.yaml",
        )
    settled = {
        tag: answer if isinstance(answer, Descriptor | SourceError) else answer.result()
        for tag, answer in answers.items()
    }
    return desire(mirror, observed, None if listed is None else frozenset(listed), settled)


def _list(open_source: OpenSource, source: str) -> Listing:
    try:
        return open_source(source).tags()
    except SourceError as error:
        return error


def _resolve(open_source: OpenSource, source: str, reference: str) -> Answer:
    try:
        return open_source(source).resolve(reference)
    except SourceError as error:
        return error
