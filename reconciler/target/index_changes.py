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
from reconciler.target.index import LeftOut, MirrorIndex, RepositoryState, TagState

if TYPE_CHECKING:
    from reconciler.oci.referrers import Record


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
    return _with(index, target, replace(after, source=source, pending=pending, left_out=MappingProxyType(left_out)))


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
) -> MirrorIndex:
    """`index` after the tags of its source were listed.

    gone      tags that the source has lost; None: as before. A tag that was gone before keeps its time, and one that
              is not in the index cannot be gone.
    left_out  tags that cannot be mirrored; None: as before
    """
    before = index.repositories.get(target, RepositoryState(source))
    after = before
    if gone is not None:
        times = {tag: before.gone.get(tag, now) for tag in sorted(gone) if tag in before.tags}
        after = replace(after, gone=MappingProxyType(times))
    if left_out is not None:
        after = replace(after, left_out=MappingProxyType(dict(left_out)))
    return index if after == before else _with(index, target, after)


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


def settled(index: MirrorIndex, target: str, tags: Iterable[str]) -> MirrorIndex:
    """`index` after the objects of `tags` are as it says."""
    before = index.repositories.get(target)
    return _with(index, target, replace(before, pending=before.pending - frozenset(tags))) if before else index


def collected(index: MirrorIndex, target: str, digests: Iterable[Digest]) -> MirrorIndex:
    """`index` after retired `digests` were removed. A repository of which nothing is left is removed as well."""
    before = index.repositories.get(target)
    if before is None:
        return index
    gone = frozenset(digests)
    retired = {digest: since for digest, since in before.retired.items() if digest not in gone}
    kept = {digest: record for digest, record in before.attachments.items() if digest not in gone}
    after = replace(before, retired=MappingProxyType(retired), attachments=MappingProxyType(kept))
    if after.tags or after.retired or after.pending:
        return _with(index, target, after)
    others = {name: state for name, state in index.repositories.items() if name != target}
    return replace(index, repositories=MappingProxyType(others))


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
    return replace(
        before, tags=MappingProxyType(dict(tags)), retired=MappingProxyType(retired), gone=MappingProxyType(gone)
    )


def _carrying(state: TagState, before: TagState | None) -> TagState:
    """`state` with what a newer release noted of the same image under the same tag."""
    return replace(state, unknown=before.unknown) if before and before.digest == state.digest else state


def _with(index: MirrorIndex, target: str, state: RepositoryState) -> MirrorIndex:
    return replace(index, repositories=MappingProxyType({**index.repositories, target: state}))
