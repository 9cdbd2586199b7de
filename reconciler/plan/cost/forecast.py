"""Estimates what an apply moves and requests, from what its images need and what the store holds. Pure.

The requests are those of an `apply PLAN` that is not interrupted, one for one as `apply`, `copy`, `ledger`, `lock` and
the store send them, by the names that the kind of store gives them. An apply without a saved plan reads the mirror
index once more. Left out are the parts of a large mirror index; what depends on the clock: renewals of the lock and
interim writes of the mirror index, some twenty requests a minute; garbage whose time is over; and retries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.oci.referrers import list_bytes, merged
from reconciler.oci.spec import Descriptor, Digest
from reconciler.plan.diff import Action
from reconciler.plan.guards import why_held_back
from reconciler.plan.sizes import Sizes
from reconciler.pulls.recent import recent_days
from reconciler.stores.requests import counted
from reconciler.target import index_changes
from reconciler.target.catalog import published_lists
from reconciler.target.index import TagState
from reconciler.target.inventory import Inventory
from reconciler.target.layout import PAGE, counts_prefixes
from reconciler.target.reuse import CopyFrom, Download, There, way

if TYPE_CHECKING:
    from reconciler.plan.diff import Change
    from reconciler.plan.plan import Plan, RepositoryPlan
    from reconciler.plan.sizes import Unread
    from reconciler.stores.requests import RequestCounts, Requests
    from reconciler.target.index import MirrorIndex


@dataclass
class Needed:
    """What the images of one repository need, summed up while they are read.

    blobs      digest -> bytes, of all of them
    manifests  digest -> bytes, of all of them
    writes     bytes of each manifest that an image finds missing, image by image
    reads      how often a manifest is read from the store
    """

    blobs: dict[Digest, int] = field(default_factory=dict)
    manifests: dict[Digest, int] = field(default_factory=dict)
    writes: list[int] = field(default_factory=list)
    reads: int = 0


class Reused(Frozen):
    """The blobs that a repository lacks, digest -> bytes: from its source, or from another repository of the store."""

    downloaded: Mapping[Digest, int]
    copied: Mapping[Digest, int]


class Contents(Frozen):
    """What the store holds before the apply.

    there     repository -> what was listed of it
    size      the bytes of all that it stores; None: it does not tell
    index     the mirror index
    requests  how the store counts its requests; None: it does not
    """

    there: Mapping[str, Inventory]
    size: int | None
    index: MirrorIndex
    requests: Requests | None


def reuse(plan: Plan, stored: Contents, needed: Mapping[str, Needed]) -> dict[str, Reused]:
    """Returns how the blobs of all images get there, by repository: once from a source, then from one to another.

    `apply.copies` does the same with the listings that it makes anyway. It also looks where this does not, so that less
    may be downloaded than estimated here.
    """
    holders: dict[tuple[Digest, int], str] = {}
    ways: dict[str, Reused] = {}
    for target in (one.target for one in plan.repositories if one.target in needed):
        present = stored.there.get(target, Inventory()).blobs
        if target in stored.index.repositories:
            holders.update(dict.fromkeys(present.items(), target))
        downloaded, copied = {}, {}
        for digest, size in needed[target].blobs.items():
            match way(Descriptor("", digest, size), present, holders):
                case Download():
                    downloaded[digest] = size
                    # The next repository that needs it copies it from here.
                    holders[digest, size] = target
                case CopyFrom():
                    copied[digest] = size
                case There():
                    pass
        ways[target] = Reused(downloaded, copied)
    return ways


def forecast(
    plan: Plan,
    stored: Contents,
    needed: Mapping[str, Needed],
    fetched: Mapping[Digest, int],
    unread: tuple[Unread, ...],
    now: datetime,
) -> Sizes:
    """Estimates what applying `plan` takes.

    needed   repository -> what its images need
    fetched  the manifests that come from sources, digest -> bytes
    unread   the images that are left out, since their manifests could not be read
    """
    work = _work(plan, stored, needed, unread)
    after, writes = _index_after(stored.index, work, now)
    lists = _PublishedLists(stored.index, after, work, now)
    downloaded = [size for one in work for size in one.reused.downloaded.values()]
    return Sizes(
        downloaded=sum(downloaded) + sum(fetched.values()),
        blobs=len(downloaded),
        manifests=len(fetched),
        uploaded=sum(one.uploaded for one in work),
        copied=sum(sum(one.reused.copied.values()) for one in work),
        before=stored.size,
        after=None if stored.size is None else stored.size + sum(one.grown for one in work) + lists.grown,
        retired=sum(len(state.retired) for state in after.repositories.values()),
        requests=_all_requests(stored.requests, work, lists, stored.index, writes) if stored.requests else None,
        unread=unread,
    )


def _work(
    plan: Plan, stored: Contents, needed: Mapping[str, Needed], unread: tuple[Unread, ...]
) -> list[_RepositoryWork]:
    """What is done in each repository, without the images that could not be read."""
    skipped: dict[str, set[str]] = {}
    for image in unread:
        skipped.setdefault(image.target, set()).add(image.tag)
    ways, held_back = reuse(plan, stored, needed), why_held_back(plan)
    return [
        _RepositoryWork(
            one,
            stored,
            needed.get(one.target, Needed()),
            ways.get(one.target, Reused({}, {})),
            skipped.get(one.target, set()),
            () if held_back(one) else one.of(Action.PRUNE),
        )
        for one in plan.repositories
    ]


def _all_requests(
    requests: Requests, work: Sequence[_RepositoryWork], lists: _PublishedLists, before: MirrorIndex, writes: int
) -> RequestCounts:
    sent = _state_requests(requests, work, before, writes) + lists.sent(requests)
    sent += requests.deleting(sum(len(one.prunes) for one in work))
    for one in work:
        sent += one.sent(requests)
    return counted(requests, sent)


class _RepositoryWork:
    """What is done in one repository."""

    def __init__(
        self,
        plan: RepositoryPlan,
        stored: Contents,
        needed: Needed,
        reused: Reused,
        skipped: set[str],
        prunes: tuple[Change, ...],
    ) -> None:
        self.plan = plan
        self.there = stored.there.get(plan.target, Inventory())
        self.images = [one for one in plan.of(Action.ADD, Action.UPDATE) if one.tag not in skipped]
        self.prunes = prunes
        self.needed = needed
        self.reused = reused
        self._state = stored.index.repositories.get(plan.target)

    @property
    def _moved(self) -> dict[str, int]:
        """Tag -> bytes, of the tags whose objects are written. A tag that keeps its digest keeps its object too."""
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

    def sent(self, requests: Requests) -> Counter[str]:
        """The requests for the images and tags of the repository."""
        sent: Counter[str] = Counter()
        if self.plan.of(Action.ADD, Action.UPDATE):
            # `copies` lists blobs and manifests apart, and tags are listed with the manifests.
            sent += requests.listing(len(self.there.blobs))
            sent += requests.listing(len(self.there.manifests) + len(self.there.tags))
        # The object of a tag is read before it is replaced, and is not written if it has not changed.
        sent[requests.get] += self.needed.reads + sum(one.tag in self.there.tags for one in self.images)
        sent[requests.get] += len(self._subjects)
        sent[requests.put] += len(self.needed.writes) + len(self._moved) + len(self._lists)
        for size in self.reused.copied.values():
            sent += requests.copying(size)
        for size in self.reused.downloaded.values():
            sent += requests.sending(size)
        return sent


class _PublishedLists:
    """The published lists: each is read, and written or removed where it changes."""

    def __init__(
        self, before: MirrorIndex, after: MirrorIndex, changes: Iterable[_RepositoryWork], now: datetime
    ) -> None:
        touched = [one.plan.target for one in changes if one.images or one.prunes]
        old = published_lists(before, touched) if before.serial else {}
        new = published_lists(after, touched)
        changed = {key: body for key, body in new.items() if body != old.get(key)} if touched else {}
        self._reads = len(new) if touched else 0
        # Of the counts of pulls, for the page. How many of them are to be read is not known here.
        self._listings = sum(1 for _ in counts_prefixes(*recent_days(now.date()))) if touched else 0
        self._written = sum(body is not None for body in changed.values())
        self._removed = len(changed) - self._written
        # The page is not under `v2/`, whose bytes alone are estimated.
        grown = (len(body or b"") - len(old.get(key) or b"") for key, body in changed.items() if key != PAGE)
        self.grown = sum(grown)

    def sent(self, requests: Requests) -> Counter[str]:
        # Each list that goes is removed by a request of its own.
        sent = Counter({requests.get: self._reads, requests.put: self._written, requests.delete: self._removed})
        sent[requests.list] += self._listings
        return sent


def _stays(change: Change) -> bool:
    return bool(change.before and change.after and change.before.digest == change.after.digest)


def _index_after(before: MirrorIndex, changes: Iterable[_RepositoryWork], now: datetime) -> tuple[MirrorIndex, int]:
    """The mirror index after the run, and how often it is written: begun, published, prunes recorded and settled."""
    index, writes = before, 0
    for step in (_begun, _published, _removed, _settled):
        after = index
        for change in changes:
            after = step(after, change, now)
        # An index that stays the same is not written.
        writes += after != index
        index = after
    return index, writes


def _begun(index: MirrorIndex, change: _RepositoryWork, now: datetime) -> MirrorIndex:
    plan = change.plan
    index = index_changes.noted(index, plan.target, plan.source, now, gone=plan.gone, left_out=plan.left_out)
    if plan.ages.sightings is not None:
        index = index_changes.saw(index, plan.target, plan.source, plan.ages.sightings, now)
    tags = [one.tag for one in change.plan.of(Action.ADD, Action.UPDATE)]
    return index_changes.begun(index, change.plan.target, change.plan.source, tags) if tags else index


def _published(index: MirrorIndex, change: _RepositoryWork, now: datetime) -> MirrorIndex:
    platforms = change.plan.platforms
    tags = {
        one.tag: TagState(
            one.after.digest, one.after.media_type, one.after.size, platforms, now, source_tag=one.source_tag
        )
        for one in change.images
        if one.after
    }
    return index_changes.published(index, change.plan.target, change.plan.source, tags, now) if tags else index


def _removed(index: MirrorIndex, change: _RepositoryWork, now: datetime) -> MirrorIndex:
    tags = [one.tag for one in change.prunes]
    return index_changes.removed(index, change.plan.target, tags, now) if tags else index


def _settled(index: MirrorIndex, change: _RepositoryWork, _: datetime) -> MirrorIndex:
    return index_changes.settled(index, change.plan.target, [one.tag for one in change.prunes])


def _state_requests(
    requests: Requests, work: Iterable[_RepositoryWork], before: MirrorIndex, writes: int
) -> Counter[str]:
    """The lock taken and released, the mirror index read, and written `writes` times: a root, then the index itself.

    The lock is checked before each of these. Before the first index is written, earlier roots are looked for. The
    store's clock is read after tags are published, before tags are pruned, and before garbage is looked for.
    """
    if not writes and not any(one.plan.changes for one in work):
        return Counter({requests.get: 2})
    clock = 1 + any(one.images for one in work) + any(one.prunes for one in work)
    sent = Counter({requests.get: 3 + clock + 2 * writes, requests.put: 1 + 2 * writes, requests.delete: 1})
    if writes and not before.serial:
        sent[requests.get] += 1
        sent += requests.listing(0)
    return sent
