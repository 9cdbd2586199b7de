"""Runs a plan under the lock, in an order of writes that keeps every tag complete at every moment.

    drift                                    tags that another writer of the target has moved stay as they are
    the mirror index                         which tags are about to change: pending
    images: blobs, manifests, then the tag   in parallel; the attachments of an image before its tag
    the mirror index                         now and then meanwhile, and once at the end
    prunes: index, then the tag's object     only in repositories where nothing failed
    tags/list, _catalog, _ping, the page     those that changed
    garbage                                  where digests were retired long enough ago, or an earlier run was cut off

When the time of a run is over, the images that have not begun are skipped; those that are published are recorded and
listed as usual.

A run that is killed leaves tags that can be pulled, a lock that runs out, and an index with pending tags. The next plan
shows those tags again, whatever the source says, and the next apply settles them.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from reconciler.apply.image_copies import ImageCopies
from reconciler.apply.outcome import Done, Failed, NotMirrored, Outcome, Skipped
from reconciler.apply.restored import finish_restores
from reconciler.errors import Drift, Interrupted, LockLost, NoPlatform, OutOfTime, QuotaSpent, StoreDenied, StoreError
from reconciler.mirrors.versions import in_order
from reconciler.oci.referrers import Record
from reconciler.oci.spec import Digest
from reconciler.plan.diff import Action
from reconciler.plan.drift import find_drift, wanted_of, without_drift
from reconciler.plan.guards import why_held_back
from reconciler.plan.image_work import image_work, in_turn, left_out_of
from reconciler.plan.owners import is_unclaimed
from reconciler.plan.plan import noted_all
from reconciler.pulls.recent import read_recent
from reconciler.target import index_changes
from reconciler.target.catalog import published_lists
from reconciler.target.garbage import collect, discard_uploads, forgotten
from reconciler.target.index import Held, TagState
from reconciler.target.layout import ManifestKey
from reconciler.target.ledger import StoredIndex, write_index, writer
from reconciler.target.lists import publish_lists
from reconciler.target.own_digests import own_digests
from reconciler.target.page.pulls import Pulls
from reconciler.target.protocol import DRIFT, KeepsObjects, Stays
from reconciler.target.recorded import registry_of
from reconciler.target.removable import Garbage, NotCollected
from reconciler.work.shares import Balanced
from reconciler.work.threads import completed, image_workers
from reconciler.work.unforeseen import foreseen

if TYPE_CHECKING:
    from reconciler.apply.image_copies import CopiedImage
    from reconciler.apply.outcome import Event
    from reconciler.apply.settings import Resources, Settings
    from reconciler.plan.diff import Change
    from reconciler.plan.image_work import ImageWork
    from reconciler.plan.plan import Plan, RepositoryPlan
    from reconciler.target.index import LeftOut, MirrorIndex
    from reconciler.target.lock import Lease
    from reconciler.target.protocol import Kept

logger = logging.getLogger(__name__)

RECORD_EVERY = 10.0
"""Seconds between two writes of the mirror index while images are copied: as much is published again after a kill."""

PAUSE = 0.5
"""Seconds without a finished image after which the run checks whether it is time to record, or to end.

Short, since a process that is told to stop has seconds, and an image may wait for a source that sends nothing.
"""


class Run:
    """A run under way: the index as last written, the lock, and the images that are published but not yet recorded."""

    def __init__(
        self, plan: Plan, resources: Resources, settings: Settings, observed: StoredIndex, lease: Lease
    ) -> None:
        self._plan = plan
        # Objects that clients pull are many: before each write the lock is checked without a request. The index is
        # what all runs go by: before each write to it, the store is asked who holds the lock.
        self._cut_off = {target: one.pending for target, one in observed.index.repositories.items() if one.pending}
        self._observed = observed
        knows = own_digests(lambda: self._observed.index, wanted_of(plan))
        guarded = resources.target.guarded(lease.check)
        target = guarded if settings.overwrite_drift else guarded.owning(knows)
        self._resources = replace(resources, target=target)
        self._state = resources.target.state.guarded(lease.confirm)
        self._settings = settings
        self._by = writer(settings.command, settings.saved_plan, lease.owner)
        self._registry = registry_of(target)
        self._unrecorded: list[tuple[ImageWork, CopiedImage]] = []
        self._left_out: list[tuple[RepositoryPlan, Mapping[str, LeftOut]]] = []
        self._recorded_at = time.monotonic()
        self._failed: set[str] = set()
        self._lease = lease
        # A run that was killed may have published tags without their lists, in any repository.
        self._touched: set[str] = set(observed.index.repositories) if lease.taken_over else set()

    def events(self) -> Iterator[Event]:
        """Does the run and yields its events. However it ends, images that are published are recorded and listed."""
        try:
            yield from self._leave_drift()
            yield from self._begin()
            yield from self._finish_restores()
            yield from self._publish()
            yield from self._prune()
        except LockLost:
            # Another run holds the lock. It sees our tags as pending, and a write of ours could undo its work.
            raise
        except GeneratorExit:
            # The caller has gone: a generator that is being closed must not yield.
            self._record()
            self._publish_lists()
            raise
        except BaseException:
            # An interruption or a store that fails. If this fails too, the tags stay pending for the next run.
            yield from self._record()
            self._publish_lists()
            raise
        self._publish_lists()
        # Last, and only if nothing is being copied any more: a blob on its way is not reached by any tag yet.
        if self._settings.deadline.takes_more:
            yield from self._collect()

    def _leave_drift(self) -> Iterator[Failed]:
        """Takes tags that another writer has moved out of the plan."""
        # Before they are noted as pending: what is pending counts as ours.
        drifted = find_drift(self._plan, self._resources.target, self._resources.blobs)
        self._plan, left = without_drift(self._plan, drifted)
        for target, change, digest in left:
            self._failed.add(target)
            yield Failed(target, change, DRIFT.format(digest), Drift.reason)

    def _begin(self) -> Iterator[NotMirrored]:
        """Writes to the index who owns the repositories, and which tags are pending, in case this run dies.

        Also news of the sources that are no changes, e.g. tags that are left out: those are reported when first noted.
        """
        known = {target: state.left_out for target, state in self._observed.index.repositories.items()}
        # When a digest was first seen is told by the store's clock, even before there is an index.
        at = self._observed.at if self._observed.etag else self._lease.now()

        def change(index: MirrorIndex) -> MirrorIndex:
            index = noted_all(index, self._plan, at)
            for repository in self._plan.repositories:
                target, source = repository.target, repository.source
                tags = [one.tag for one in repository.of(Action.ADD, Action.UPDATE)]
                if tags:
                    index = index_changes.begun(index, target, source, tags)
                if tags or is_unclaimed(index, target):
                    index = index_changes.claimed(index, target, source, self._settings.name)
            return index

        self._write(change)
        for one in self._plan.repositories:
            for tag, why in (one.left_out or {}).items():
                if known.get(one.target, {}).get(tag) != why:
                    yield NotMirrored(one.target, tag, why.reason)

    def _finish_restores(self) -> Iterator[Outcome]:
        """Settles what a restore was cut off at: it had recorded the tags, with their holds, before it wrote them."""
        finished = list(finish_restores(self._plan, self._resources.target))
        done = [one for one in finished if isinstance(one, Done)]

        def change(index: MirrorIndex) -> MirrorIndex:
            for one in done:
                index = index_changes.settled(index, one.target, [one.change.tag])
            return index

        self._write(change)
        self._touched |= {one.target for one in done}
        self._failed |= {one.target for one in finished if isinstance(one, Failed)}
        yield from finished

    def _publish(self) -> Iterator[Event]:
        images = in_turn(image_work(self._plan), self._resources.open_source)
        balanced = Balanced(images, lambda work: work.registry)
        index, owner, held = self._observed.index, self._lease.owner, self._plan.manifests
        copies = ImageCopies(self._resources, self._settings, index, owner, held, balanced.groups)
        # Twice the threads, so that none waits for this generator's caller; and room for every registry at once.
        window = 2 * max(image_workers(self._resources.workers), len(balanced.groups()))
        threads = copies.images.by(lambda work: work.registry)
        finished = completed(threads, copies.copy, balanced, window, PAUSE, copies.stop.set)
        with closing(finished):
            for result in finished:
                if self._settings.deadline.is_over:
                    # What has not begun ends at once, what runs ends at its next bytes; each of them yields an event.
                    copies.stop.set()
                if result:
                    balanced.done(result[0])
                    yield from self._settle(*result)
                if self._unrecorded and self._is_time_to_record():
                    yield from self._record()
        yield from self._record()

    def _is_time_to_record(self) -> bool:
        # A run that has to end may be killed before the last of its images gives up.
        return self._settings.deadline.is_over or time.monotonic() - self._recorded_at >= RECORD_EVERY

    def _settle(self, work: ImageWork, future: Future[CopiedImage]) -> Iterator[Failed | Skipped | NotMirrored]:
        error = future.exception()
        if error is None:
            self._unrecorded.append((work, future.result()))
            self._touched.add(work.repository.target)
        elif isinstance(error, QuotaSpent):
            self._failed.add(work.repository.target)
            yield from (Skipped(work.repository.target, change, error.why, error.reason) for change in work.changes)
        elif isinstance(error, Interrupted | OutOfTime) and not self._settings.deadline.takes_more:
            self._failed.add(work.repository.target)
            why = self._settings.deadline.reason
            yield from (Skipped(work.repository.target, change, why, error.reason) for change in work.changes)
        # A store that denies a write, or a lost lock, fails every image alike: that ends the run.
        elif isinstance(error, Exception) and not isinstance(error, StoreDenied | LockLost):
            out = self._leave_out(work, error) if isinstance(error, NoPlatform) else {}
            yield from (NotMirrored(work.repository.target, tag, one.reason) for tag, one in out.items())
            failed = [change for change in work.changes if change.tag not in out]
            if failed:
                self._failed.add(work.repository.target)
                known = foreseen(work.what, error)
                yield from (Failed(work.repository.target, change, str(known), known.reason) for change in failed)
        else:
            raise error

    def _leave_out(self, work: ImageWork, error: NoPlatform) -> Mapping[str, LeftOut]:
        """Notes the tags of an image that only a pattern chose, so that the next run does not try them again."""
        out = left_out_of(work, error, self._settings.named(work.repository.target))
        self._left_out.append((work.repository, out))
        return out

    def _record(self) -> list[Done]:
        """Writes to the index what was published, which is done from then on, and what was left out."""
        if not self._unrecorded and not self._left_out:
            return []
        now = self._lease.now()
        sources, tags = {}, defaultdict[str, dict[str, TagState]](dict)
        attachments = defaultdict[str, dict[Digest, Record]](dict)
        for work, copied in self._unrecorded:
            sources[work.repository.target] = work.repository.source
            tags[work.repository.target] |= _tag_states(work, copied, now)
            if copied.record:
                attachments[work.repository.target][work.root.digest] = copied.record

        def change(index: MirrorIndex) -> MirrorIndex:
            for target, source in sources.items():
                index = index_changes.published(index, target, source, tags[target], now)
                index = index_changes.with_attachments(index, target, attachments[target])
                index = index_changes.with_holds(index, target, self._holds(tags[target], now))
            for one, out in self._left_out:
                # Nothing was written for them, so they are settled, except where an earlier run may have written.
                untouched = out.keys() - self._cut_off.get(one.target, frozenset())
                index = index_changes.left_out(index, one.target, out, untouched)
            return index

        self._write(change)
        done = [
            Done(work.repository.target, change, copied.took)
            for work, copied in self._unrecorded
            for change in work.changes
        ]
        done.sort(key=lambda one: (one.target, in_order(one.change.tag)))
        self._unrecorded.clear()
        self._left_out.clear()
        self._recorded_at = time.monotonic()
        return done

    def _holds(self, tags: Mapping[str, TagState], now: datetime) -> Mapping[str, Held]:
        """The holds of published tags: in the write that has them, so that no apply in between finds them without."""
        hold, by = self._settings.hold, f"{self._by.command} on {self._by.host}"
        return {tag: Held(one.digest, now, by, hold.reason, hold.entry) for tag, one in tags.items()} if hold else {}

    def _prune(self) -> Iterator[Outcome]:
        """Prunes tags: all of them in the index before the first object is deleted."""
        allowed = []
        held_back = why_held_back(self._plan)
        for repository in self._plan.repositories:
            prunes = repository.of(Action.PRUNE)
            refusal = self._refusal(repository, held_back)
            if refusal:
                why = self._reason(repository)
                yield from (Skipped(repository.target, change, refusal, why) for change in prunes)
            elif prunes:
                allowed.append((repository.target, prunes))
        if not allowed:
            return
        now = self._lease.now()
        # The index first: the digests are retired from now on, and a run that dies below leaves pending tags, which the
        # next run settles. The other way round, it would leave tags in the index that cannot be pulled.
        self._write_each(allowed, lambda index, target, tags: index_changes.removed(index, target, tags, now))
        self._touched.update(target for target, _ in allowed)
        staying = {target: self._attachment_tags(target) for target, _ in allowed}
        # One call for all repositories: a request deletes 1,000 keys, and most prunes are a few.
        pruned = ((target, one.tag) for target, prunes in allowed for one in prunes)
        keys = (ManifestKey(target, tag) for target, tag in pruned if tag not in staying[target])
        kept = {(one.item.repository, str(one.item.reference)): one for one in self._resources.target.delete(keys)}
        self._write_each(allowed, partial(_settled, kept))
        for target, prunes in allowed:
            for change in prunes:
                yield _pruned(target, change, kept.get((target, change.tag)))

    def _attachment_tags(self, target: str) -> frozenset[str]:
        """The tags that are attachments of images: their objects stay, although a pattern chooses them no more."""
        state = self._observed.index.repositories.get(target)
        return state.attachment_tags if state else frozenset()

    def _refusal(self, repository: RepositoryPlan, held_back: Callable[[RepositoryPlan], str | None]) -> str | None:
        if repository.target in self._failed:
            return f"{repository.target}: something else in this repository failed; nothing is pruned in it"
        if not self._settings.deadline.takes_more:
            return self._settings.deadline.reason
        return held_back(repository)

    def _reason(self, repository: RepositoryPlan) -> str:
        """Why prunes that `_refusal` refuses are not made, as metrics count it."""
        if repository.target in self._failed:
            return "other"
        return "held_back" if self._settings.deadline.takes_more else OutOfTime.reason

    def _publish_lists(self) -> None:
        if not self._touched:
            return
        lists = published_lists(self._observed.index, self._touched)
        publish_lists(self._resources.target, lists, self._resources.blobs, self._pulls())
        self._touched.clear()

    def _pulls(self) -> Pulls | None:
        """The pulls that the catalog page shows; None if it stays with what it has."""
        if not isinstance(self._resources.target, KeepsObjects):
            return None
        try:
            found = read_recent(self._state, self._observed.at.date(), self._resources.blobs)
        except StoreError as error:
            logger.warning("the catalog page keeps the pulls that it shows: %s", error)
            return None
        return Pulls(found.since, found.until, found.counts.pulled).of(self._observed.index)

    def _collect(self) -> Iterator[Garbage | NotCollected]:
        """Removes garbage where there can be some: retired digests whose time is over, and what a killed run left."""
        now = self._lease.now()
        due = [
            (target, state)
            for target, state in self._observed.index.repositories.items()
            if target not in self._failed and state.owner == self._settings.name
            if index_changes.expired(state, self._settings.retain(target), now)
            or (target in self._cut_off and not state.pending)
        ]
        removed = []
        destination, retain = self._resources.target, self._settings.retain
        if self._resources.cluster:
            # A worker that died half-way left an unfinished upload, and another did its work: nothing else shows it.
            worked_for = {one.target for one in self._plan.repositories if one.of(Action.ADD, Action.UPDATE)}
            yield from discard_uploads(destination, worked_for - self._failed)
        for event in collect(destination, due, retain, now, self._resources.blobs):
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
        self._observed = write_index(self._state, self._observed, change, self._by, self._registry)
        self._settings.recorded(self._observed.index.serial)


def _settled(kept: Mapping[tuple[str, str], Kept], index: MirrorIndex, target: str, tags: Iterable[str]) -> MirrorIndex:
    """`index` after `tags` were deleted, except for those that are still there."""
    left = {tag: one.stays if (one := kept.get((target, tag))) else None for tag in tags}
    settled = [tag for tag, stays in left.items() if stays is not Stays.PENDING]
    undeleted = [tag for tag, stays in left.items() if stays is Stays.NOTED]
    return index_changes.settled(index, target, settled, undeleted)


def _pruned(target: str, change: Change, kept: Kept | None) -> Done | Failed:
    if kept is None:
        return Done(target, change)
    if kept.stays is Stays.NOTED:
        return Done(target, change, kept=kept.why)
    return Failed(target, change, kept.why, (Drift if kept.stays is Stays.FOREIGN else StoreError).reason)


def _tag_states(work: ImageWork, copied: CopiedImage, now: datetime) -> dict[str, TagState]:
    root, platforms = copied.root, work.repository.platforms
    state = TagState(root.digest, root.media_type, root.size, platforms, now, copied.images)
    return {
        change.tag: replace(state, by=change.by, source_tag=change.source_tag)
        if change.by or change.source_tag
        else state
        for change in work.changes
    }
