"""Makes a plan so. The order of writes is the safety: what is visible is whole, at every moment.

    lock                                     one apply at a time, as far as clocks allow
    images: blobs, manifests, then the tag   side by side; each image on its own
    the mirror index                         now and then meanwhile, and once at the end
    prunes: index, then the tag's object     only in repositories where nothing failed
    tags/list, _catalog, _ping               what changed of them

A run that ends early leaves tags that can be pulled and a lock that has run out or will. Whoever finds that lock
removes the tags' objects that the run did not come to, and puts the published lists right, since they come last.
"""

from __future__ import annotations

import threading
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, TypeAlias

from reconciler import index as mirror_index
from reconciler.catalog import published_lists
from reconciler.copy import copy_blob, missing_blobs, publish_image, read_image
from reconciler.diff import Action
from reconciler.errors import Interrupted, LockHeld, MirrorError, PlanRefused, StoreDenied
from reconciler.index import TagState
from reconciler.layout import (
    JSON_HEADERS,
    ManifestKey,
    blobs_prefix,
    known_digests,
    manifest_key,
    manifests_prefix,
    parse_key,
)
from reconciler.ledger import Observed, read_index, write_index
from reconciler.lock import Lock, acquire, leave, read_lock, release, renew
from reconciler.plan import held_back
from reconciler.work import BLOB_WORKERS, IMAGE_WORKERS, Once, completed

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from concurrent.futures import Executor, Future

    from reconciler.diff import Change
    from reconciler.index import MirrorIndex
    from reconciler.oci import Descriptor, Digest
    from reconciler.plan import Plan, RepositoryPlan
    from reconciler.source import OpenSource
    from reconciler.store import Store

RECORD_EVERY = 20.0
PAUSE = 5.0
"""Seconds: between two writes of the index while images are copied, and between two looks at the lock."""


@dataclass(frozen=True)
class Done:
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
class ImageWork:
    """One image of one repository, and the changes that it fulfils: every tag that is to point at its digest."""

    repository: RepositoryPlan
    root: Descriptor
    changes: tuple[Change, ...]

    @property
    def what(self) -> str:
        return f"{self.repository.source}:{self.changes[0].tag}"


def apply(plan: Plan, edges: Edges, command: str, *, allow_prune: bool = False) -> Generator[Outcome, None, None]:
    """Does the plan's changes and yields what became of each. Close the generator to stop early.

    What fails is an outcome. Raises `LockHeld`, `PlanRefused` if the index is not what the plan was made from, and
    `StoreError` where the store itself gave way; what was done until then is recorded.
    """
    if not plan.has_changes and not _died_before(edges.state):
        return
    lock = acquire(edges.state, command)
    unfinished = lock.taken_over
    try:
        observed = read_index(edges.state)
        _refuse_stale(plan, observed)
        unfinished = True
        yield from _Run(plan, edges, observed, lock, allow_prune=allow_prune).outcomes()
        unfinished = False
    finally:
        end = leave if unfinished else release
        end(edges.state, lock)


def _died_before(state: Store) -> bool:
    left = read_lock(state)
    return left is not None and left.until <= datetime.now(UTC)


def _refuse_stale(plan: Plan, observed: Observed) -> None:
    if plan.etag != observed.etag:
        reason = (
            f"the mirror index has moved on: the plan was made from serial {plan.serial}, now it has serial "
            f"{observed.index.serial}; nothing was done. Plan again"
        )
        raise PlanRefused((reason,))


class _Run:
    """One apply under way: the index as last written, the lock, and what was published but not yet recorded."""

    def __init__(self, plan: Plan, edges: Edges, observed: Observed, lock: Lock, *, allow_prune: bool) -> None:
        self._plan = plan
        self._edges = edges
        self._observed = observed
        self._lock = lock
        self._allow_prune = allow_prune
        self._unrecorded: list[ImageWork] = []
        self._recorded_at = time.monotonic()
        self._failed: set[str] = set()
        self._lock_was_left = lock.taken_over
        self._touched: set[str] = set(observed.index.repositories) if lock.taken_over else set()

    def outcomes(self) -> Iterator[Outcome]:
        try:
            yield from self._publish()
            yield from self._prune()
        except LockHeld:
            raise
        except BaseException:
            self._record()
            self._publish_lists()
            raise
        self._publish_lists()

    def _publish(self) -> Iterator[Outcome]:
        copies = _Copies(self._edges)
        images = image_work(self._plan)
        finished = completed(self._edges.images, copies.copy, images, 2 * IMAGE_WORKERS, PAUSE, copies.stop.set)
        with closing(finished):
            for result in finished:
                if result:
                    yield from self._settle(*result)
                self._keep_up()

    def _settle(self, work: ImageWork, future: Future[None]) -> Iterator[Outcome]:
        error = future.exception()
        if error is None:
            self._unrecorded.append(work)
            self._touched.add(work.repository.target)
            yield from (Done(work.repository.target, change) for change in work.changes)
        elif isinstance(error, MirrorError) and not isinstance(error, StoreDenied):
            self._failed.add(work.repository.target)
            yield from (Failed(work.repository.target, change, str(error)) for change in work.changes)
        else:
            raise error

    def _keep_up(self) -> None:
        """Renews the lock and records what is done, both when it is time."""
        if self._lock.wants_renewal:
            self._lock = renew(self._edges.state, self._lock)
        if self._unrecorded and time.monotonic() - self._recorded_at >= RECORD_EVERY:
            self._record()

    def _record(self, removed: Iterable[tuple[RepositoryPlan, tuple[Change, ...]]] = ()) -> None:
        now = datetime.now(UTC).replace(microsecond=0)
        removals = list(removed)

        def change(index: MirrorIndex) -> MirrorIndex:
            for work in self._unrecorded:
                target, source = work.repository.target, work.repository.source
                index = mirror_index.changed(index, target, source, _tag_states(work, now), (), now)
            for repository, changes in removals:
                gone = [one.tag for one in changes]
                index = mirror_index.changed(index, repository.target, repository.source, {}, gone, now)
            return index

        self._observed = write_index(self._edges.state, self._observed, change)
        self._unrecorded.clear()
        self._recorded_at = time.monotonic()

    def _prune(self) -> Iterator[Outcome]:
        """Records everything, what goes included, before the first tag's object goes."""
        allowed = []
        for repository in self._plan.repositories:
            prunes = repository.of(Action.PRUNE)
            refusal = self._refusal(repository)
            if refusal:
                yield from (Skipped(repository.target, change, refusal) for change in prunes)
            elif prunes:
                allowed.append((repository, prunes))
        self._record(allowed)
        self._touched.update(repository.target for repository, _ in allowed)
        gone = [manifest_key(repository.target, change.tag) for repository, prunes in allowed for change in prunes]
        if self._lock_was_left:
            gone += pruned_but_there(self._edges.public, self._observed.index)
        if gone:
            self._edges.public.delete(dict.fromkeys(gone))
        yield from (Done(repository.target, change) for repository, prunes in allowed for change in prunes)

    def _refusal(self, repository: RepositoryPlan) -> str | None:
        if repository.target in self._failed:
            return "something else in this repository failed; nothing is pruned in it"
        return None if self._allow_prune else held_back(repository)

    def _publish_lists(self) -> None:
        if not self._touched:
            return
        lists = published_lists(self._observed.index, self._touched)
        for result in completed(self._edges.blobs, self._publish_list, lists.items(), 2 * BLOB_WORKERS, PAUSE):
            if result:
                result[1].result()
        self._touched.clear()

    def _publish_list(self, item: tuple[str, bytes | None]) -> None:
        key, body = item
        store = self._edges.public
        there = store.get(key)
        if body is None:
            if there:
                store.delete([key])
        elif there is None or there.body != body:
            store.put(key, body, JSON_HEADERS)


class _Copies:
    """The image copies of one run: they share blobs and listings, and stop together."""

    def __init__(self, edges: Edges) -> None:
        self.stop = threading.Event()
        self._edges = edges
        self._once = Once(edges.blobs)

    def copy(self, work: ImageWork) -> None:
        self._check()
        target = work.repository.target
        image = read_image(
            self._edges.open_source(work.repository.source), work.what, work.root, work.repository.platforms
        )
        listing, _ = self._once(target, list_present, self._edges.public, target)
        present = listing.result()
        for copied in [self._start(work, blob) for blob in missing_blobs(image, present)]:
            copied.result()
        self._check()
        publish_image(self._edges.public, target, image, tuple(change.tag for change in work.changes), present)

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


def list_present(store: Store, target: str) -> dict[Digest, int]:
    """The digests that the repository already holds, with their sizes in bytes, from listings of 1,000 keys each."""
    prefixes = (blobs_prefix(target), manifests_prefix(target))
    return known_digests((row.key, row.size) for prefix in prefixes for row in store.list(prefix))


def pruned_but_there(store: Store, index: MirrorIndex) -> Iterator[str]:
    """The keys of tags that the index no longer has, but that still point at a digest it knows.

    A run left them that ended between recording its prunes and making them. Other tags that the index lacks are not
    ours to remove.
    """
    for target, state in index.repositories.items():
        known = {tag.digest for tag in state.tags.values()} | state.retired.keys()
        for row in store.list(manifests_prefix(target)):
            match parse_key(row.key):
                case ManifestKey(reference=str(tag)) if tag not in state.tags:
                    stored = store.get(row.key)
                    if stored and any(digest.matches(stored.body) for digest in known):
                        yield row.key
                case _:
                    pass


def _tag_states(work: ImageWork, now: datetime) -> dict[str, TagState]:
    state = TagState(work.root.digest, work.root.media_type, work.root.size, work.repository.platforms, now)
    return {change.tag: state for change in work.changes}
