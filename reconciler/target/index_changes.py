"""Changes to the mirror index: each takes an index and returns a new one. Pure.

`begun`, `published`, `removed`, `settled` and `collected` are the steps of an apply. Each is a statement about single
tags that stays true whatever other writers do in between, so that it can be made again to an index that another writer
has changed (`ledger`). They keep one promise: a digest that loses its last tag is retired with the time, never just
forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from reconciler.oci.spec import Digest
from reconciler.target.index import Delivered, Held, LeftOut, MirrorIndex, RepositoryState, Sighting, TagState

if TYPE_CHECKING:
    from reconciler.oci.referrers import Record


SEEN_KEPT = 8
"""How many unpublished digests of a tag are remembered."""


def begun(index: MirrorIndex, target: str, source: str, tags: Iterable[str]) -> MirrorIndex:
    """`index` before an apply touches the objects of `tags`."""
    before = index.repositories.get(target, RepositoryState(source))
    return _with(index, target, replace(before, pending=before.pending | frozenset(tags)))


def published(index: MirrorIndex, target: str, source: str, tags: Mapping[str, TagState], now: datetime) -> MirrorIndex:
    """`index` after the objects of `tags` were written.

    A digest that is left without a tag is retired as of `now`. A retired digest that gets a tag again is not retired
    any more.
    """
    before = index.repositories.get(target, RepositoryState(source))
    new = {tag: _carrying(state, before.tags.get(tag)) for tag, state in tags.items()}
    after = _retagged(before, {**before.tags, **new}, now)
    left_out = {tag: one for tag, one in before.left_out.items() if tag not in tags}
    pending = before.pending - tags.keys()
    after = replace(after, source=source, pending=pending, left_out=MappingProxyType(left_out))
    after = replace(after, undeleted=before.undeleted - tags.keys())
    return _with(index, target, replace(after, seen=_still_unpublished(before.seen, tags)))


def claimed(index: MirrorIndex, target: str, source: str, owner: str) -> MirrorIndex:
    """`index` after the repository was given to the mirrors file that is called `owner`."""
    before = index.repositories.get(target, RepositoryState(source))
    return index if before.owner == owner else _with(index, target, replace(before, owner=owner))


def noted(
    index: MirrorIndex,
    target: str,
    source: str,
    now: datetime,
    *,
    gone: Collection[str] | None = None,
    left_out: Mapping[str, LeftOut] | None = None,
    released: Mapping[str, Held] = MappingProxyType({}),
) -> MirrorIndex:
    """`index` after the tags of its source were listed.

    gone      tags that the source has lost; None: as before. A tag that was gone before keeps its time, and one that
              is not in the index cannot be gone.
    left_out  tags that cannot be mirrored; None: as before
    released  holds that an edit of mirrors.yaml has ended
    """
    index = without_holds(index, target, released)
    before = index.repositories.get(target, RepositoryState(source))
    after = before
    if gone is not None:
        times = {tag: before.gone.get(tag, now) for tag in sorted(gone) if tag in before.tags}
        after = replace(after, gone=MappingProxyType(times))
    if left_out is not None:
        after = replace(after, left_out=MappingProxyType(dict(left_out)))
    return index if after == before else _with(index, target, after)


def saw(
    index: MirrorIndex, target: str, source: str, sightings: Mapping[str, Digest | None], now: datetime
) -> MirrorIndex:
    """`index` after an apply saw what the tags of a mirror with `min_age` point at.

    sightings  tag -> its digest at the source; None: not known, so that what was seen before stays. Every other tag is
               forgotten.

    A digest keeps the time at which it was seen first. One that the tag has left without having been published stays
    as gone: it does not start anew when it comes back.
    """
    before = index.repositories.get(target, RepositoryState(source))
    seen = {tag: _seen_now(before, tag, digest, now) for tag, digest in sorted(sightings.items())}
    after = replace(before, seen=MappingProxyType({tag: some for tag, some in seen.items() if some}))
    if after == before:
        return index
    return _with(index, target, after) if _has_something(after) else _without(index, target)


def left_out(index: MirrorIndex, target: str, tags: Mapping[str, LeftOut], untouched: Iterable[str]) -> MirrorIndex:
    """`index` after `tags` turned out not to be mirrorable as configured; `untouched` tags are no longer pending."""
    before = index.repositories.get(target)
    if before is None:
        return index
    known, pending = MappingProxyType({**before.left_out, **tags}), before.pending - frozenset(untouched)
    return _with(index, target, replace(before, left_out=known, pending=pending))


def with_attachments(index: MirrorIndex, target: str, records: Mapping[Digest, Record]) -> MirrorIndex:
    """`index` after what is attached to the images of these digests came along."""
    before = index.repositories.get(target)
    if before is None or not records:
        return index
    return _with(index, target, replace(before, attachments=MappingProxyType({**before.attachments, **records})))


def removed(index: MirrorIndex, target: str, tags: Iterable[str], now: datetime) -> MirrorIndex:
    """`index` before the objects of `tags` are removed: the tags are gone from it, and pending."""
    before = index.repositories.get(target)
    if before is None:
        return index
    gone = frozenset(tags)
    after = _retagged(before, {tag: state for tag, state in before.tags.items() if tag not in gone}, now)
    return _with(index, target, replace(after, pending=before.pending | gone))


def retire(index: MirrorIndex, target: str, source: str, digests: Iterable[Digest], now: datetime) -> MirrorIndex:
    """`index` after `digests` without a tag, which it does not know, were found in the bucket."""
    before = index.repositories.get(target, RepositoryState(source))
    found = {digest: now for digest in digests if digest not in before.digests}
    if not found:
        return index
    return _with(index, target, replace(before, retired=MappingProxyType({**before.retired, **found})))


def with_holds(index: MirrorIndex, target: str, holds: Mapping[str, Held]) -> MirrorIndex:
    """`index` after the tags of these holds were restored."""
    before = index.repositories.get(target)
    if before is None or not holds:
        return index
    return _with(index, target, replace(before, held=MappingProxyType({**before.held, **holds})))


def with_delivered(index: MirrorIndex, target: str, source: str, delivered: Delivered) -> MirrorIndex:
    """`index` before a box is applied to a repository."""
    before = index.repositories.get(target, RepositoryState(source))
    return index if before.delivered == delivered else _with(index, target, replace(before, delivered=delivered))


def without_holds(index: MirrorIndex, target: str, holds: Mapping[str, Held]) -> MirrorIndex:
    """`index` without these holds; one that was replaced by another restore meanwhile stays."""
    before = index.repositories.get(target)
    if before is None or not holds:
        return index
    held = {tag: one for tag, one in before.held.items() if holds.get(tag) != one}
    return index if held == before.held else _with(index, target, replace(before, held=MappingProxyType(held)))


def settled(index: MirrorIndex, target: str, tags: Iterable[str], undeleted: Iterable[str] = ()) -> MirrorIndex:
    """`index` after the objects of `tags` are as it says, except for those that the target cannot delete."""
    before = index.repositories.get(target)
    if before is None:
        return index
    gone = frozenset(tags)
    left = (before.undeleted - gone) | frozenset(undeleted)
    return _with(index, target, replace(before, pending=before.pending - gone, undeleted=left))


def collected(index: MirrorIndex, target: str, digests: Iterable[Digest]) -> MirrorIndex:
    """`index` after retired `digests` were removed. A repository of which nothing is left is removed as well."""
    before = index.repositories.get(target)
    if before is None:
        return index
    gone = frozenset(digests)
    retired = {digest: since for digest, since in before.retired.items() if digest not in gone}
    kept = {digest: record for digest, record in before.attachments.items() if digest not in gone}
    after = replace(before, retired=MappingProxyType(retired), attachments=MappingProxyType(kept))
    return _with(index, target, after) if _has_something(after) else _without(index, target)


def expired(state: RepositoryState, retain: timedelta, now: datetime) -> frozenset[Digest]:
    """The retired digests that have been kept for `retain`."""
    # The difference of any two times is in range, a sum need not be.
    return frozenset(digest for digest, since in state.retired.items() if now - since >= retain)


def without_expired(index: MirrorIndex, retain: Callable[[str], timedelta], now: datetime) -> MirrorIndex:
    """`index` without the retired digests that have expired, whether garbage collection has removed them or not."""
    for target, state in index.repositories.items():
        over = expired(state, retain(target), now)
        index = collected(index, target, over) if over else index
    return index


def _retagged(before: RepositoryState, tags: Mapping[str, TagState], now: datetime) -> RepositoryState:
    tagged = {state.digest for state in tags.values()}
    orphaned = {state.digest for state in before.tags.values()} - tagged
    retired = {digest: since for digest, since in before.retired.items() if digest not in tagged}
    # Not removed with its tag: a client that has resolved the tag already goes on to pull by digest.
    retired |= dict.fromkeys(orphaned, now)
    gone = {tag: since for tag, since in before.gone.items() if tag in tags}
    held = {tag: one for tag, one in before.held.items() if one.digest == _digest(tags.get(tag))}
    return replace(
        before,
        tags=MappingProxyType(dict(tags)),
        retired=MappingProxyType(retired),
        gone=MappingProxyType(gone),
        held=MappingProxyType(held),
    )


def _seen_now(before: RepositoryState, tag: str, digest: Digest | None, now: datetime) -> tuple[Sighting, ...]:
    seen = before.seen.get(tag, ())
    if digest is None:
        return seen
    there = [one for one in seen if one.digest == digest]
    others = [replace(one, gone=one.gone or now) for one in seen if one.digest != digest]
    published = before.tags.get(tag)
    if not there and not (published and published.digest == digest):
        there = [Sighting(digest, now)]
    # A tag that moves with every apply must not make the index grow. What it points at now is never dropped.
    kept = others[max(0, len(others) + len(there) - SEEN_KEPT) :]
    return tuple(sorted((*kept, *there), key=lambda one: (one.since, one.digest)))


def _still_unpublished(
    seen: Mapping[str, tuple[Sighting, ...]], tags: Mapping[str, TagState]
) -> Mapping[str, tuple[Sighting, ...]]:
    if not seen.keys() & tags.keys():
        return seen
    left = {
        tag: tuple(one for one in some if tag not in tags or one.digest != tags[tag].digest)
        for tag, some in seen.items()
    }
    return MappingProxyType({tag: some for tag, some in left.items() if some})


def _digest(state: TagState | None) -> Digest | None:
    return state.digest if state else None


def _carrying(state: TagState, before: TagState | None) -> TagState:
    """`state` with what a newer release noted of the same image under the same tag."""
    return replace(state, unknown=before.unknown) if before and before.digest == state.digest else state


def _has_something(state: RepositoryState) -> bool:
    return bool(state.tags or state.retired or state.pending or state.seen or state.held or state.undeleted)


def _without(index: MirrorIndex, target: str) -> MirrorIndex:
    others = {name: state for name, state in index.repositories.items() if name != target}
    return replace(index, repositories=MappingProxyType(others))


def _with(index: MirrorIndex, target: str, state: RepositoryState) -> MirrorIndex:
    return replace(index, repositories=MappingProxyType({**index.repositories, target: state}))
