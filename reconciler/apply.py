"""Makes a plan so. The order of writes is the safety: what is visible is whole, at every moment.

    lock                                     one run at a time
    the mirror index                         which tags are about to change: pending
    images: blobs, manifests, then the tag   side by side; each image on its own, with what is attached before the tag
    the mirror index                         now and then meanwhile, and once at the end
    prunes: index, then the tag's object     only in repositories where nothing failed
    tags/list, _catalog, _ping, the page     what changed of them
    garbage                                  where digests have been retired long enough, or a run was cut off

A run that ends early leaves tags that can be pulled, a lock that has run out or will, and an index that says which tags
are not settled. The next plan shows those tags again, whatever the source says, and the next apply settles them.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, TypeAlias

from reconciler import index as mirror_index
from reconciler.attach import Ends, Following, follow, open_ends, publish_following, read_following
from reconciler.catalog import published_lists
from reconciler.copy import (
    choose_platforms,
    copy_blob,
    missing_blobs,
    publish_lists,
    publish_manifests,
    publish_tags,
    read_image,
    stored_first,
)
from reconciler.diff import Action
from reconciler.download import downloads
from reconciler.errors import Interrupted, LockHeld, LockLost, MirrorError, PlanRefused, StoreDenied
from reconciler.gc import Garbage, NotCollected, collect, forgotten
from reconciler.index import RepositoryState, TagState
from reconciler.inventory import inventory
from reconciler.layout import manifest_key
from reconciler.ledger import Observed, read_index, write_index
from reconciler.lock import Lease, held, read_lock
from reconciler.oci import Digest
from reconciler.plan import held_back
from reconciler.referrers import Record
from reconciler.signatures.gate import OPEN
from reconciler.work import IMAGE_WORKERS, Once, completed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
    from concurrent.futures import Executor, Future
    from datetime import timedelta

    from reconciler.copy import Image
    from reconciler.diff import Change
    from reconciler.index import MirrorIndex
    from reconciler.oci import Descriptor
    from reconciler.plan import Plan, RepositoryPlan
    from reconciler.signatures.gate import Gate
    from reconciler.source import OpenSource
    from reconciler.store import Store

RECORD_EVERY = 10.0
PAUSE = 5.0
"""Seconds: between two writes of the index while images are copied, and between two looks whether it is time."""


@dataclass(frozen=True)
class Done:
    """A change that was made and is recorded in the mirror index."""

    target: str
    change: Change


@dataclass(frozen=True)
class Failed:
    target: str
    change: Change
    error: str


@dataclass(frozen=True)
class Skipped:
    target: str
    change: Change
    reason: str


Outcome: TypeAlias = Done | Failed | Skipped


Event: TypeAlias = Outcome | Garbage | NotCollected


class Progress(Protocol):
    """Told of bytes as they are found wanting and as they arrive, from many threads."""

    def wanted(self, size: int) -> None: ...

    def copied(self, size: int) -> None: ...


@dataclass(frozen=True)
class Edges:
    """What apply touches: sources, the bucket, where the index and the lock are, two executors, and who watches."""

    open_source: OpenSource
    public: Store
    state: Store
    images: Executor
    blobs: Executor
    progress: Progress


@dataclass(frozen=True)
class Terms:
    """What a run may do.

    command       what the lock says of us
    retain        target -> how long a digest that lost its last tag stays
    allow_prune   whether many prunes at once are meant
    lock_timeout  seconds to wait for another run
    waiting       is told of the run that is waited for
    plan_again    makes the plan anew, where the index has moved on since; None: then the plan is refused
    now           the time that is written to the index and compared with it
    gate          who has to have signed what is published: checked for each image, whatever the plan says
    """

    command: str
    retain: Callable[[str], timedelta]
    allow_prune: bool = False
    lock_timeout: float = 0.0
    waiting: Callable[[LockHeld], None] = lambda _: None
    plan_again: Callable[[], Plan] | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    gate: Gate = OPEN


@dataclass(frozen=True)
class ImageWork:
    """One image of one repository, and the changes that it fulfils: every tag that is to point at its digest."""

    repository: RepositoryPlan
    root: Descriptor
    changes: tuple[Change, ...]

    @property
    def what(self) -> str:
        return f"{self.repository.source}:{self.changes[0].tag}"


@dataclass(frozen=True)
class Copied:
    """What the mirror index notes of an image that was published.

    images  what a client downloads of it, platform -> bytes; None: not known
    record  what came along with it, by what it is attached to; empty where nobody asked for that
    """

    images: Mapping[str, int] | None
    record: Record


def apply(plan: Plan, edges: Edges, terms: Terms) -> Generator[Event, None, None]:
    """Does the plan's changes and yields what became of each. Close the generator to stop early.

    What fails is an outcome. Raises `LockHeld`, `LockLost`, `PlanRefused` if the index is not what the plan was made
    from, and `StoreError` where the store itself gave way; what was done until then is recorded.
    """
    if not plan.has_changes and not _has_other_work(edges.state, terms):
        return
    with held(edges.state, terms.command, terms.lock_timeout, terms.waiting) as lease:
        observed = read_index(edges.state)
        if plan.etag != observed.etag:
            plan = _planned_again(plan, observed, terms)
            observed = read_index(edges.state)
        lease.unfinished = True
        yield from _Run(plan, edges, terms, observed, lease).events()
        lease.unfinished = False


def _has_other_work(state: Store, terms: Terms) -> bool:
    """Whether a run died here, or the time of a retired digest is over."""
    left = read_lock(state)
    if left and left.has_run_out:
        return True
    now = terms.now()
    repositories = read_index(state).index.repositories
    return any(mirror_index.expired(one, terms.retain(target), now) for target, one in repositories.items())


def _planned_again(plan: Plan, observed: Observed, terms: Terms) -> Plan:
    if terms.plan_again is None:
        reason = (
            f"the mirror index has moved on: the plan was made from serial {plan.serial}, now it has serial "
            f"{observed.index.serial}; nothing was done. Plan again"
        )
        raise PlanRefused((reason,))
    return terms.plan_again()


class _Run:
    """One apply under way: the index as last written, the lock, and what was published but not yet recorded."""

    def __init__(self, plan: Plan, edges: Edges, terms: Terms, observed: Observed, lease: Lease) -> None:
        self._plan = plan
        self._edges = replace(edges, public=edges.public.guarded(lease.check), state=edges.state.guarded(lease.confirm))
        self._terms = terms
        self._observed = observed
        self._unrecorded: list[tuple[ImageWork, Copied]] = []
        self._recorded_at = time.monotonic()
        self._failed: set[str] = set()
        self._cut_off = {target for target, state in observed.index.repositories.items() if state.pending}
        self._touched: set[str] = set(observed.index.repositories) if lease.taken_over else set()

    def events(self) -> Iterator[Event]:
        try:
            self._begin()
            yield from self._publish()
            yield from self._prune()
        except LockLost:
            raise
        except GeneratorExit:
            self._record()
            self._publish_lists()
            raise
        except BaseException:
            yield from self._record()
            self._publish_lists()
            raise
        self._publish_lists()
        yield from self._collect()

    def _begin(self) -> None:
        """Says in the index which tags are about to change, so that whoever comes after a crash knows."""

        def change(index: MirrorIndex) -> MirrorIndex:
            for repository in self._plan.repositories:
                tags = [one.tag for one in repository.of(Action.ADD, Action.UPDATE)]
                if tags:
                    index = mirror_index.begun(index, repository.target, repository.source, tags)
            return index

        self._write(change)

    def _publish(self) -> Iterator[Event]:
        copies = _Copies(self._edges, self._terms.gate, self._observed.index)
        images = image_work(self._plan)
        finished = completed(self._edges.images, copies.copy, images, 2 * IMAGE_WORKERS, PAUSE, copies.stop.set)
        with closing(finished):
            for result in finished:
                if result:
                    yield from self._settle(*result)
                if self._unrecorded and time.monotonic() - self._recorded_at >= RECORD_EVERY:
                    yield from self._record()
        yield from self._record()

    def _settle(self, work: ImageWork, future: Future[Copied]) -> Iterator[Failed]:
        error = future.exception()
        if error is None:
            self._unrecorded.append((work, future.result()))
            self._touched.add(work.repository.target)
        elif isinstance(error, MirrorError) and not isinstance(error, StoreDenied | LockLost):
            self._failed.add(work.repository.target)
            yield from (Failed(work.repository.target, change, str(error)) for change in work.changes)
        else:
            raise error

    def _record(self) -> list[Done]:
        """Writes what was published to the index: from then on it is done."""
        now = self._now()
        sources, tags = {}, defaultdict[str, dict[str, TagState]](dict)
        attached = defaultdict[str, dict[Digest, Record]](dict)
        for work, copied in self._unrecorded:
            sources[work.repository.target] = work.repository.source
            tags[work.repository.target] |= _tag_states(work, copied.images, now)
            if copied.record:
                attached[work.repository.target][work.root.digest] = copied.record

        def change(index: MirrorIndex) -> MirrorIndex:
            for target, source in sources.items():
                index = mirror_index.published(index, target, source, tags[target], now)
                index = mirror_index.attached(index, target, attached[target])
            return index

        self._write(change)
        done = [Done(work.repository.target, change) for work, _ in self._unrecorded for change in work.changes]
        self._unrecorded.clear()
        self._recorded_at = time.monotonic()
        return done

    def _prune(self) -> Iterator[Outcome]:
        """Records everything that goes before the first tag's object goes."""
        allowed = []
        for repository in self._plan.repositories:
            prunes = repository.of(Action.PRUNE)
            refusal = self._refusal(repository)
            if refusal:
                yield from (Skipped(repository.target, change, refusal) for change in prunes)
            elif prunes:
                allowed.append((repository.target, prunes))
        if not allowed:
            return
        now = self._now()
        self._write_each(allowed, lambda index, target, tags: mirror_index.removed(index, target, tags, now))
        self._touched.update(target for target, _ in allowed)
        staying = {target: self._attached_tags(target) for target, _ in allowed}
        self._edges.public.delete(
            manifest_key(target, one.tag)
            for target, prunes in allowed
            for one in prunes
            if one.tag not in staying[target]
        )
        self._write_each(allowed, mirror_index.settled)
        yield from (Done(target, change) for target, prunes in allowed for change in prunes)

    def _attached_tags(self, target: str) -> frozenset[str]:
        """Those whose objects stay, although they are no tags of their own any more: they belong to images."""
        state = self._observed.index.repositories.get(target)
        return state.attached_tags if state else frozenset()

    def _refusal(self, repository: RepositoryPlan) -> str | None:
        if repository.target in self._failed:
            return "something else in this repository failed; nothing is pruned in it"
        return None if self._terms.allow_prune else held_back(repository)

    def _publish_lists(self) -> None:
        if not self._touched:
            return
        publish_lists(self._edges.public, published_lists(self._observed.index, self._touched), self._edges.blobs)
        self._touched.clear()

    def _collect(self) -> Iterator[Garbage | NotCollected]:
        """Removes garbage where there can be some: digests whose time is over, and what a run left that was cut off."""
        now = self._now()
        due = [
            (target, state)
            for target, state in self._observed.index.repositories.items()
            if target not in self._failed
            if mirror_index.expired(state, self._terms.retain(target), now)
            or (target in self._cut_off and not state.pending)
        ]
        removed = []
        store, retain = self._edges.public, self._terms.retain
        for event in collect(store, due, retain, now, self._edges.blobs):
            if isinstance(event, Garbage):
                removed.append(event)
            yield event
        self._write(lambda index: forgotten(index, removed))

    def _write_each(
        self,
        changes: Iterable[tuple[str, tuple[Change, ...]]],
        step: Callable[[MirrorIndex, str, Iterable[str]], MirrorIndex],
    ) -> None:
        def change(index: MirrorIndex) -> MirrorIndex:
            for target, prunes in changes:
                index = step(index, target, [one.tag for one in prunes])
            return index

        self._write(change)

    def _write(self, change: Callable[[MirrorIndex], MirrorIndex]) -> None:
        self._observed = write_index(self._edges.state, self._observed, change)

    def _now(self) -> datetime:
        return self._terms.now().replace(microsecond=0)


class _Copies:
    """The image copies of one run: they share blobs and listings, and stop together."""

    def __init__(self, edges: Edges, gate: Gate, index: MirrorIndex) -> None:
        self.stop = threading.Event()
        self._edges = edges
        self._gate = gate
        self._index = index
        self._once = Once(edges.blobs)

    def copy(self, work: ImageWork) -> Copied:
        """Copies an image, with what is attached to it where that is asked for, and publishes its tags."""
        self._check()
        target, store, asks = work.repository.target, self._edges.public, work.repository.referrers
        source = self._edges.open_source(work.repository.source)
        self._gate.check(target, source, work.root.digest, f"{work.what}@{work.root.digest}")
        listing, _ = self._once(target, inventory, store, target)
        there = listing.result()
        fetch = stored_first(source, store, target, there.manifests)
        platforms = work.repository.platforms
        image = read_image(fetch, work.what, work.root, lambda index: choose_platforms(index, platforms, work.what))
        ends = self._once((target, "ends"), self._ends, work, there.manifests)[0].result() if asks else None
        following = self._follow(ends, image, work.what) if ends else ()
        whole = (image, *(one for each in following for one in each.images))
        for copied in [self._start(work, blob) for one in whole for blob in missing_blobs(one, there.blobs)]:
            copied.result()
        self._check()
        publish_manifests(store, target, image, there.manifests)
        if ends:
            # One after the other: what refers to something comes after it.
            for one in following:
                self._once((target, "publish", one.subject), publish_following, ends, one)[0].result()
        publish_tags(store, target, image, (change.tag for change in work.changes))
        images = downloads(work.root.digest, {one.digest: one.parsed for one in image.manifests})
        return Copied(images, {one.subject: one.record for one in following})

    def _ends(self, work: ImageWork, present: Mapping[Digest, int]) -> Ends:
        target = work.repository.target
        source = self._edges.open_source(work.repository.source)
        state = self._index.repositories.get(target, RepositoryState(work.repository.source))
        return open_ends(source, self._edges.public, target, state, present)

    def _follow(self, ends: Ends, image: Image, what: str) -> tuple[Following, ...]:
        def read(subject: Digest) -> Future[Following]:
            return self._once((ends.target, "follow", subject), read_following, ends, subject)[0]

        return follow(image, read, what)

    def _start(self, work: ImageWork, blob: Descriptor) -> Future[None]:
        future, first = self._once((work.repository.target, blob.digest), self._copy_blob, work, blob)
        if first:
            self._edges.progress.wanted(blob.size)
        return future

    def _copy_blob(self, work: ImageWork, blob: Descriptor) -> None:
        self._check()
        source = self._edges.open_source(work.repository.source)
        copy_blob(source, self._edges.public, work.what, work.repository.target, blob, self.copied)

    def copied(self, size: int) -> None:
        self._check()
        self._edges.progress.copied(size)

    def _check(self) -> None:
        if self.stop.is_set():
            raise Interrupted("interrupted")


def image_work(plan: Plan) -> Iterator[ImageWork]:
    """The images to copy: one for each digest of a repository, however many tags it has."""
    for repository in plan.repositories:
        images: dict[Digest, list[Change]] = {}
        for change in repository.of(Action.ADD, Action.UPDATE):
            if change.after:
                images.setdefault(change.after.digest, []).append(change)
        for changes in images.values():
            if changes[0].after:
                yield ImageWork(repository, changes[0].after, tuple(changes))


def _tag_states(work: ImageWork, images: Mapping[str, int] | None, now: datetime) -> dict[str, TagState]:
    state = TagState(work.root.digest, work.root.media_type, work.root.size, work.repository.platforms, now, images)
    return {change.tag: state for change in work.changes}
