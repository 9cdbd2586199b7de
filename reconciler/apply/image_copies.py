"""The image copies of one run: they share blobs and listings, so that no byte is moved twice, and stop together.

A blob that several repositories want is brought into one of them and copied within the bucket to the others. One that
another repository of the mirror index holds already is copied from there (`reuse` decides).

Threads are shared out per registry (`shares`), and no image waits for another registry's slow bytes (`arrivals`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from reconciler.apply.arrivals import Arrivals
from reconciler.apply.attachments import Following, Route, follow, open_route, publish_following, read_following
from reconciler.apply.blob_transfer import Transfer, transfer
from reconciler.apply.holders import BlobHolders
from reconciler.apply.outcome import Took
from reconciler.apply.publish import publish_manifests, publish_tags
from reconciler.errors import Interrupted
from reconciler.oci.image import missing_blobs
from reconciler.oci.platform_sizes import downloads
from reconciler.oci.spec import Descriptor, Digest
from reconciler.plan.cost.pulls import Pulls, Reading
from reconciler.plan.image_work import registry_of
from reconciler.sources.kinds import parse_source
from reconciler.target.index import RepositoryState
from reconciler.target.repository import Repository
from reconciler.target.reuse import CopyFrom
from reconciler.work.shares import Shares
from reconciler.work.threads import Once, came_before, image_workers

if TYPE_CHECKING:
    from reconciler.apply.settings import Resources, Settings
    from reconciler.oci.image import Fetch, Image
    from reconciler.oci.referrers import Record
    from reconciler.plan.image_work import ImageWork
    from reconciler.target.index import MirrorIndex
    from reconciler.target.inventory import Inventory

logger = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at a blob that another repository gets first."""


@dataclass(frozen=True)
class CopiedImage:
    """What the mirror index notes of an image that was published.

    root    what was published, as its bytes say
    images  what a client downloads of it, platform -> bytes; None: not known
    record  what came along with it, by what it is attached to; empty where the mirror does not ask for that
    """

    root: Descriptor
    images: Mapping[str, int] | None
    record: Record
    took: Took


class ImageCopies:
    """The copies of one run.

    index       as it was before the run
    owner       what our lock names us
    held        manifests of a saved plan
    registries  those of which there still are images to copy
    """

    def __init__(
        self,
        resources: Resources,
        settings: Settings,
        index: MirrorIndex,
        owner: str,
        held: Mapping[Digest, bytes],
        registries: Callable[[], Collection[Hashable]],
    ) -> None:
        self.stop = threading.Event()
        self._pulls = Pulls(self.stop, held, settings.waiting_quota)
        self._gate = settings.gate
        self._deadline = settings.deadline
        self._index = index
        self._resources = resources
        self._owner = owner
        self.images = Shares(resources.images, image_workers(resources.workers), registries)
        self._blobs = Shares(resources.blobs, resources.workers, registries)
        self._arrivals = Arrivals()
        # Images share what is below them: the first that wants one of these starts it, all others wait for its future.
        # Each kind is by repository, or by repository and digest.
        self._listings: Once[str, Inventory] = Once()
        self._routes: Once[str, Route] = Once()
        self._following: Once[tuple[str, Digest], Following] = Once()
        self._published: Once[tuple[str, Digest], None] = Once()
        self._brought: Once[tuple[str, Digest], None] = Once()
        sources = {target: one.source for target, one in index.repositories.items()}
        self._holders = BlobHolders(resources.public, sources)
        # Digest -> the repository that gets the blob from a source, and from which registry; all others copy it there.
        self._first: dict[Digest, tuple[str, str]] = {}
        self._beginning = threading.Lock()

    def copy(self, work: ImageWork) -> CopiedImage:
        """Copies an image, with what is attached to it where that is asked for, and publishes its tags."""
        with self._resources.progress.under_way(work.name):
            return self._copy(work)

    def _copy(self, work: ImageWork) -> CopiedImage:
        self._check()
        started = time.monotonic()
        target, what = self._target(work), work.what
        source, platforms = self._resources.open_source(work.repository.source), work.repository.platforms
        self._gate.verify(target.name, source, work.root.digest, f"{what}@{work.root.digest}", self._fetch(work, {}))
        listing, _ = self._listings(self._blobs.of(work.registry), target.name, target.inventory)
        there = listing.result()
        self._holders.listed(target.name, there.blobs)
        reading = Reading(source, target, what, work.root, platforms, there.manifests)
        image = self._pulls.read(reading)
        route = self._route(work, there.manifests) if work.repository.referrers else None
        following = self._follow(route, image, what) if route else ()
        whole = (image, *(one for each in following for one in each.images))
        missing = tuple(blob for one in whole for blob in missing_blobs(one, there.blobs))
        self._bring_all(work, missing)
        self._check()
        publish_manifests(target, image, there.manifests)
        if route:
            # Before the tag: a client that checks signatures never sees an image without them.
            self._publish_following(route, following)
        publish_tags(target, image, (change.tag for change in work.changes), there.tags)
        took = Took(_size_of(whole, missing, there.manifests), time.monotonic() - started)
        images = downloads(work.root.digest, {one.digest: one.parsed for one in image.manifests})
        return CopiedImage(image.root.descriptor, images, {one.subject: one.record for one in following}, took)

    def _route(self, work: ImageWork, present: Mapping[Digest, int]) -> Route:
        target, source = self._target(work), self._resources.open_source(work.repository.source)
        state = self._index.repositories.get(target.name, RepositoryState(work.repository.source))
        threads, fetch = self._blobs.of(work.registry), self._fetch(work, present)
        opened, _ = self._routes(threads, target.name, open_route, source, target, state, present, fetch)
        return opened.result()

    def _follow(self, route: Route, image: Image, what: str) -> tuple[Following, ...]:
        def read(subject: Digest) -> Future[Following]:
            threads = self._blobs.of(registry_of(route.name))
            return self._following(threads, (route.target.name, subject), read_following, route, subject)[0]

        return follow(image, read, what)

    def _publish_following(self, route: Route, following: tuple[Following, ...]) -> None:
        """One after the other, for what refers to something comes after it; then the empty lists, side by side."""

        def publish(one: Following) -> Future[None]:
            threads = self._blobs.of(registry_of(route.name))
            return self._published(threads, (route.target.name, one.subject), publish_following, route, one)[0]

        for one in following:
            if one.images:
                publish(one).result()
        for begun in [publish(one) for one in following if not one.images]:
            begun.result()

    def _fetch(self, work: ImageWork, present: Mapping[Digest, int]) -> Fetch:
        """Gives manifests that are not of the image itself: signatures, and what else is attached to it."""
        target, source = self._target(work), self._resources.open_source(work.repository.source)

        def fetch(descriptor: Descriptor) -> bytes:
            reading = Reading(source, target, work.what, descriptor, None, present)
            return self._pulls.read_one(reading)

        return fetch

    def _target(self, work: ImageWork) -> Repository:
        return Repository(self._resources.public, work.repository.target)

    def _bring_all(self, work: ImageWork, missing: tuple[Descriptor, ...]) -> None:
        """Returns when the repository has them. A blob on its way to another repository is copied from there.

        Unless that takes longer than to fetch it.
        """
        self._holders.lacks(missing)
        target, brought = work.repository.target, []
        # All of them begin before the first is waited for: the list is made whole.
        for blob, first, registry, future in [(blob, *self._begin(work, blob)) for blob in missing]:
            if first != target:
                # What comes of it there does not matter: what that source could not give may come from ours.
                if not came_before(future, partial(self._is_faster, blob.size, registry, work.registry), LOOK_EVERY):
                    logger.info("%s: not waiting for %s, which comes slowly from %s", work.what, blob.digest, registry)
                    self._first[blob.digest] = target, work.registry
                brought.append(self._start(target, work, blob))
            else:
                brought.append(future)
        for future in brought:
            future.result()

    def _is_faster(self, size: int, there: str, here: str, waited: float) -> bool:
        self._check()
        return self._arrivals.is_worth_waiting(size, there, here, waited)

    def _begin(self, work: ImageWork, blob: Descriptor) -> tuple[str, str, Future[None]]:
        """The repository that gets the blob first in this run, this one or another, from where, and when it has it."""
        # To be first and to have started is one step: else another image could wait for work that has not begun.
        with self._beginning:
            first, registry = self._first.setdefault(blob.digest, (work.repository.target, work.registry))
            return first, registry, self._start(first, work, blob)

    def _start(self, target: str, work: ImageWork, blob: Descriptor) -> Future[None]:
        """Returns the future of `target` having the blob; starts it for `work` if it has not been started."""
        threads = self._blobs.of(work.registry)
        future, is_first = self._brought(threads, (target, blob.digest), self._bring, target, work, blob)
        if is_first:
            self._resources.progress.wanted(blob.size)
        return future

    def _bring(self, target: str, work: ImageWork, blob: Descriptor) -> None:
        self._check()
        source = work.repository.source
        match self._holders.way(blob, source):
            case CopyFrom(holder) if self._transfer(Transfer(work.what, source, target, blob, holder)):
                self._resources.progress.wanted(-blob.size)
            case _:
                self._transfer(Transfer(work.what, source, target, blob))
        self._holders.got(target, blob)

    def _transfer(self, wanted: Transfer) -> bool:
        """Does it here, or on the cluster, which does not have the files of this machine."""
        cluster = self._resources.cluster
        if cluster is None and wanted.holder is None:
            return self._downloaded(wanted)
        if cluster is None or parse_source(wanted.source).path is not None:
            return transfer(wanted, self._resources.open_source, self._resources.public, self.copied)
        done = cluster.carry(wanted, self._owner, self._check)
        if wanted.holder is None:
            self.copied(wanted.blob.size)
        return done

    def _downloaded(self, wanted: Transfer) -> bool:
        """Does it here, and measures how fast it comes."""
        came = self._arrivals.begin(registry_of(wanted.source))

        def copied(size: int) -> None:
            self.copied(size)
            came(max(size, 0))

        try:
            return transfer(wanted, self._resources.open_source, self._resources.public, copied)
        finally:
            came(-1)

    def copied(self, size: int) -> None:
        self._check()
        self._resources.progress.copied(size)

    def _check(self) -> None:
        if self.stop.is_set():
            raise Interrupted("interrupted")
        self._deadline.check("apply")


def _size_of(images: Iterable[Image], blobs: Iterable[Descriptor], present: Mapping[Digest, int]) -> int:
    """The bytes of these blobs, and of the images' manifests that are not `present`; each of them once."""
    sizes = {blob.digest: blob.size for blob in blobs}
    sizes |= {one.digest: len(one.body) for image in images for one in image.manifests if one.digest not in present}
    return sum(sizes.values())
