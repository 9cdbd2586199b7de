"""What an apply will move and ask for, from what its images need and what the bucket holds. Pure.

Requests are those of an `apply PLAN` that is not cut off, to S3 or R2, one for one as `apply`, `copy`, `ledger`, `lock`
and the store send them; an apply without a saved plan reads the mirror index once more. Left out, because only the
clock knows of them: renewals of the lock and interim writes of the mirror index, some twenty requests a minute; garbage
whose time is over; and what has to be asked twice.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from reconciler.oci.referrers import list_bytes, merged
from reconciler.oci.spec import Descriptor, Digest
from reconciler.plan.cost.prices import CLASS_A, CLASS_B, FREE
from reconciler.plan.diff import Action
from reconciler.plan.guards import why_held_back
from reconciler.plan.sizes import Sizes
from reconciler.target import index_changes
from reconciler.target.catalog import published_lists
from reconciler.target.index import TagState
from reconciler.target.inventory import Inventory
from reconciler.target.layout import PAGE
from reconciler.target.reuse import CopyFrom, Download, There, way

if TYPE_CHECKING:
    from reconciler.plan.diff import Change
    from reconciler.plan.plan import Plan, RepositoryPlan
    from reconciler.plan.sizes import Unread
    from reconciler.target.index import MirrorIndex

Parts: TypeAlias = "Callable[[int], int]"
"""In how many parts a blob of so many bytes is uploaded; 0: in one PutObject."""

LIST_KEYS = DELETE_KEYS = 1000
"""Keys in one request."""

COPY_PART = 1024**3
"""Bytes of a part of a blob that is copied within the bucket; what is not larger is one CopyObject."""


@dataclass
class Needed:
    """What the images of one repository need, summed up while they are read.

    blobs, manifests  digest -> bytes, of all of them
    writes            bytes of each manifest that an image finds missing, image by image
    reads             how often a manifest is read from the bucket
    """

    blobs: dict[Digest, int] = field(default_factory=dict)
    manifests: dict[Digest, int] = field(default_factory=dict)
    writes: list[int] = field(default_factory=list)
    reads: int = 0


@dataclass(frozen=True)
class Reused:
    """The blobs that a repository lacks, digest -> bytes: from its source, or from elsewhere in the bucket."""

    downloaded: Mapping[Digest, int]
    copied: Mapping[Digest, int]


@dataclass(frozen=True)
class Bucket:
    """What is there: by repository as listed, the bytes of all keys of the layout, and the mirror index.

    `parts` None: it is a folder, where requests do not count.
    """

    there: Mapping[str, Inventory]
    size: int
    index: MirrorIndex
    parts: Parts | None


def reuse(plan: Plan, bucket: Bucket, needed: Mapping[str, Needed]) -> dict[str, Reused]:
    """How the blobs of all images get there, by repository: once from a source, then from one repository to another.

    As `copies` does it with the listings that it makes anyway; where it looks further, less is downloaded than this.
    """
    holders: dict[tuple[Digest, int], str] = {}
    ways: dict[str, Reused] = {}
    for target in (one.target for one in plan.repositories if one.target in needed):
        present = bucket.there.get(target, Inventory()).blobs
        if target in bucket.index.repositories:
            holders.update(dict.fromkeys(present.items(), target))
        downloaded, copied = {}, {}
        for digest, size in needed[target].blobs.items():
            match way(Descriptor("", digest, size), present, holders):
                case Download():
                    downloaded[digest] = size
                    holders[digest, size] = target
                case CopyFrom():
                    copied[digest] = size
                case There():
                    pass
        ways[target] = Reused(downloaded, copied)
    return ways


def forecast(
    plan: Plan,
    bucket: Bucket,
    needed: Mapping[str, Needed],
    fetched: Mapping[Digest, int],
    unread: tuple[Unread, ...],
    now: datetime,
) -> Sizes:
    """What applying `plan` will take. `fetched`: the manifests that come from sources, digest -> bytes."""
    skipped: dict[str, set[str]] = {}
    for image in unread:
        skipped.setdefault(image.target, set()).add(image.tag)
    ways = reuse(plan, bucket, needed)
    nothing = Needed(), Reused({}, {})
    changes = [
        _Repository(
            one,
            bucket,
            needed.get(one.target, nothing[0]),
            ways.get(one.target, nothing[1]),
            skipped.get(one.target, set()),
            () if why_held_back(plan, one) else one.of(Action.PRUNE),
        )
        for one in plan.repositories
    ]
    after, writes = _index_after(bucket.index, changes, now)
    lists = _Lists(bucket.index, after, changes)
    requests = Counter(_state_requests(changes, writes)) + lists.requests
    requests["DeleteObjects"] += math.ceil(sum(len(change.prunes) for change in changes) / DELETE_KEYS)
    for change in changes:
        requests += change.requests
    downloaded = [size for change in changes for size in change.reused.downloaded.values()]
    return Sizes(
        downloaded=sum(downloaded) + sum(fetched.values()),
        blobs=len(downloaded),
        manifests=len(fetched),
        uploaded=sum(change.uploaded for change in changes),
        copied=sum(sum(change.reused.copied.values()) for change in changes),
        before=bucket.size,
        after=bucket.size + sum(change.grown for change in changes) + lists.grown,
        retired=sum(len(state.retired) for state in after.repositories.values()),
        requests=None if bucket.parts is None else {kind: requests[kind] for kind in (*CLASS_A, *CLASS_B, *FREE)},
        unread=unread,
    )


class _Repository:
    """What is done in one repository."""

    def __init__(
        self,
        plan: RepositoryPlan,
        bucket: Bucket,
        needed: Needed,
        reused: Reused,
        skipped: set[str],
        prunes: tuple[Change, ...],
    ) -> None:
        self.plan = plan
        self.there = bucket.there.get(plan.target, Inventory())
        self.images = [one for one in plan.of(Action.ADD, Action.UPDATE) if one.tag not in skipped]
        self.prunes = prunes
        self.needed = needed
        self.reused = reused
        self._parts = bucket.parts or (lambda _: 0)
        self._state = bucket.index.repositories.get(plan.target)

    @property
    def _moved(self) -> dict[str, int]:
        """Tag -> bytes of those that are written: the object of another tag is as it should be."""
        return {one.tag: one.after.size for one in self.images if one.after and not _stays(one)}

    @property
    def _subjects(self) -> tuple[Digest, ...]:
        """The manifests that get a list of referrers, empty as far as is known yet."""
        return tuple(self.needed.manifests) if self.plan.referrers else ()

    @property
    def _lists(self) -> dict[Digest, int]:
        """The subjects without a list so far, with the bytes of an empty one."""
        recorded = merged(self._state.attachments.values()) if self._state else {}
        return {digest: len(list_bytes((), digest)) for digest in self._subjects if digest not in recorded}

    @property
    def uploaded(self) -> int:
        return sum(self.reused.downloaded.values()) + sum(self.needed.writes) + sum(self._moved.values())

    @property
    def grown(self) -> int:
        """By how many bytes the repository grows, its list of tags left aside."""
        manifests = self.needed.manifests.items()
        return (
            sum(self.reused.downloaded.values())
            + sum(self.reused.copied.values())
            + sum(size - self.there.manifests.get(digest, 0) for digest, size in manifests)
            + sum(size - self.there.tags.get(tag, 0) for tag, size in self._moved.items())
            - sum(self.there.tags.get(one.tag, 0) for one in self.prunes)
            + sum(self._lists.values())
        )

    @property
    def requests(self) -> Counter[str]:
        requests: Counter[str] = Counter()
        if self.plan.of(Action.ADD, Action.UPDATE):
            requests["ListObjects"] += _pages(len(self.there.blobs))
            requests["ListObjects"] += _pages(len(self.there.manifests) + len(self.there.tags))
        requests["GetObject"] += self.needed.reads + sum(one.tag in self.there.tags for one in self.images)
        requests["GetObject"] += len(self._subjects)
        requests["PutObject"] += len(self.needed.writes) + len(self._moved) + len(self._lists)
        for size in self.reused.copied.values():
            requests += _copy(size)
        for size in self.reused.downloaded.values():
            requests += _upload(self._parts(size))
        return requests


class _Lists:
    """The published lists: each is read, and written or removed where it changes."""

    def __init__(self, before: MirrorIndex, after: MirrorIndex, changes: Iterable[_Repository]) -> None:
        touched = [one.plan.target for one in changes if one.images or one.prunes]
        old = published_lists(before, touched) if before.serial else {}
        new = published_lists(after, touched)
        changed = {key: body for key, body in new.items() if body != old.get(key)} if touched else {}
        written = sum(body is not None for body in changed.values())
        reads = len(new) if touched else 0
        self.requests = Counter(GetObject=reads, PutObject=written, DeleteObjects=len(changed) - written)
        grown = (len(body or b"") - len(old.get(key) or b"") for key, body in changed.items() if key != PAGE)
        self.grown = sum(grown)


def _stays(change: Change) -> bool:
    return bool(change.before and change.after and change.before.digest == change.after.digest)


def _pages(keys: int) -> int:
    return max(1, math.ceil(keys / LIST_KEYS))


def _upload(parts: int) -> Counter[str]:
    if not parts:
        return Counter(PutObject=1)
    return Counter(CreateMultipartUpload=1, UploadPart=parts, CompleteMultipartUpload=1)


def _copy(size: int) -> Counter[str]:
    if size <= COPY_PART:
        return Counter(CopyObject=1)
    return Counter(CreateMultipartUpload=1, UploadPart=math.ceil(size / COPY_PART), CompleteMultipartUpload=1)


def _index_after(before: MirrorIndex, changes: Iterable[_Repository], now: datetime) -> tuple[MirrorIndex, int]:
    """The mirror index after the run, and how often it is written: begun, published, prunes recorded and settled."""
    index, writes = before, 0
    for step in (_begun, _published, _removed, _settled):
        after = index
        for change in changes:
            after = step(after, change, now)
        writes += after != index
        index = after
    return index, writes


def _begun(index: MirrorIndex, change: _Repository, now: datetime) -> MirrorIndex:
    plan = change.plan
    index = index_changes.noted(index, plan.target, plan.source, now, gone=plan.gone, left_out=plan.left_out)
    tags = [one.tag for one in change.plan.of(Action.ADD, Action.UPDATE)]
    return index_changes.begun(index, change.plan.target, change.plan.source, tags) if tags else index


def _published(index: MirrorIndex, change: _Repository, now: datetime) -> MirrorIndex:
    platforms = change.plan.platforms
    tags = {
        one.tag: TagState(one.after.digest, one.after.media_type, one.after.size, platforms, now)
        for one in change.images
        if one.after
    }
    return index_changes.published(index, change.plan.target, change.plan.source, tags, now) if tags else index


def _removed(index: MirrorIndex, change: _Repository, now: datetime) -> MirrorIndex:
    tags = [one.tag for one in change.prunes]
    return index_changes.removed(index, change.plan.target, tags, now) if tags else index


def _settled(index: MirrorIndex, change: _Repository, _: datetime) -> MirrorIndex:
    return index_changes.settled(index, change.plan.target, [one.tag for one in change.prunes])


def _state_requests(changes: Iterable[_Repository], writes: int) -> dict[str, int]:
    """The lock taken and given back, the mirror index read, and written after another look at the lock.

    The time is asked for where tags were published, before they are pruned, and before garbage is looked for.
    """
    if not writes and not any(one.plan.changes for one in changes):
        return {"GetObject": 2}
    looks = 1 + any(one.images for one in changes) + any(one.prunes for one in changes)
    return {"GetObject": 3 + looks + writes, "PutObject": 1 + writes, "DeleteObjects": 1}
