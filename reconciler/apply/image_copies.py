"""The image copies of one run: they share listings, attachments and blobs (`blob_copies`), and stop together.

The order in each image keeps what is visible complete: blobs, manifests, attachments, and then the tags.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING

from reconciler.apply.attachments import (
    FetchedAttachments,
    Route,
    all_attachments,
    fetch_attachments,
    open_route,
    publish_attachments,
)
from reconciler.apply.blob_copies import BlobCopies
from reconciler.apply.outcome import Took
from reconciler.apply.publish import publish_manifests, publish_tags
from reconciler.errors import Interrupted, OutOfTime
from reconciler.frozen import Frozen
from reconciler.oci.image import missing_blobs
from reconciler.oci.platform_sizes import downloads
from reconciler.oci.spec import Descriptor, Digest
from reconciler.plan.cost.pulls import Pulls, Reading
from reconciler.sources.kinds import registry_of
from reconciler.target.index import RepositoryState
from reconciler.work.shares import Shares
from reconciler.work.threads import Once, image_workers

if TYPE_CHECKING:
    from reconciler.apply.settings import Resources, Settings
    from reconciler.oci.image import Fetch, Image
    from reconciler.oci.referrers import Record
    from reconciler.plan.image_work import ImageWork
    from reconciler.target.index import MirrorIndex
    from reconciler.target.inventory import Inventory
    from reconciler.target.protocol import TargetRepository


class CopiedImage(Frozen):
    """An image that was published, as the mirror index records it.

    root    its descriptor, by its bytes: the one in the plan may lack a size
    images  what a client downloads of it, platform -> bytes; None: not known
    record  its attachments, by what they are attached to; empty unless the mirror asks for `referrers`
    took    the bytes and seconds of the copy
    """

    root: Descriptor
    images: Mapping[str, int] | None
    record: Record
    took: Took


class ImageCopies:
    """The image copies of one run. Set `stop`, and all that is under way ends at its next bytes.

    index       the mirror index before the run
    owner       the holder of our lock
    held        the manifests of a saved plan
    registries  those from which images are still to be copied
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
        self.images = Shares(resources.images, image_workers(resources.workers), registries)
        sources = {target: one.source for target, one in index.repositories.items()}
        self._blobs = BlobCopies(resources, sources, owner, registries, self._check)
        # Images share what is below them: the first that wants one of these starts it, all others wait for its future.
        # A failure is shared as well, so a source that is down is not asked once for every image. By repository, or by
        # repository and digest.
        self._listings: Once[str, Inventory] = Once()
        self._routes: Once[str, Route] = Once()
        self._attachments: Once[tuple[str, Digest], FetchedAttachments] = Once()
        self._published: Once[tuple[str, Digest], None] = Once()

    def copy(self, work: ImageWork) -> CopiedImage:
        """Copies an image, with its attachments if the mirror asks for them, and publishes its tags."""
        with self._resources.progress.under_way(work.name):
            if not self._deadline.takes_more:
                raise OutOfTime(work.what, self._deadline.reason)
            return self._copy(work)

    def _copy(self, work: ImageWork) -> CopiedImage:
        self._check()
        started = time.monotonic()
        target, what = self._target(work), work.what
        source, platforms = self._resources.open_source(work.repository.source), work.repository.platforms
        # Verified again although the plan did: between the two, anyone may have written to the saved plan's file.
        self._gate.verify(target.name, source, work.root.digest, f"{what}@{work.root.digest}", self._fetch(work, {}))
        listing, _ = self._listings(self._blobs.threads(work.registry), target.name, target.inventory)
        there = listing.result()
        self._blobs.listed(target.name, there.blobs)
        reading = Reading(source, target, what, work.root, platforms, there.manifests)
        image = self._pulls.read(reading)
        route = self._route(work, there.manifests) if work.repository.referrers else None
        attachments = self._all_attachments(route, image, what) if route else ()
        whole = (image, *(one for each in attachments for one in each.images))
        missing = tuple(blob for one in whole for blob in missing_blobs(one, there.blobs))
        self._blobs.bring_all(work, missing)
        # The blobs may have taken hours.
        self._check()
        publish_manifests(target, image, there.manifests)
        if route:
            # Before the tag: a client that checks signatures never sees an image without them.
            self._publish_attachments(route, attachments)
        publish_tags(target, image, (change.tag for change in work.changes), there.tags)
        took = Took(_size_of(whole, missing, there.manifests), time.monotonic() - started)
        images = downloads(work.root.digest, {one.digest: one.parsed for one in image.manifests})
        return CopiedImage(image.root.descriptor, images, {one.subject: one.record for one in attachments}, took)

    def _route(self, work: ImageWork, present: Mapping[Digest, int]) -> Route:
        target, source = self._target(work), self._resources.open_source(work.repository.source)
        state = self._index.repositories.get(target.name, RepositoryState(work.repository.source))
        threads, fetch = self._blobs.threads(work.registry), self._fetch(work, present)
        types = work.repository.referrer_types
        opened, _ = self._routes(threads, target.name, open_route, source, target, state, present, fetch, types)
        return opened.result()

    def _all_attachments(self, route: Route, image: Image, what: str) -> tuple[FetchedAttachments, ...]:
        def read(subject: Digest) -> Future[FetchedAttachments]:
            threads = self._blobs.threads(registry_of(route.name))
            return self._attachments(threads, (route.target.name, subject), fetch_attachments, route, subject)[0]

        return all_attachments(image, read, what)

    def _publish_attachments(self, route: Route, attachments: tuple[FetchedAttachments, ...]) -> None:
        """Publishes in order, what refers to something after it; then the empty lists, in parallel."""

        def publish(one: FetchedAttachments) -> Future[None]:
            threads = self._blobs.threads(registry_of(route.name))
            return self._published(threads, (route.target.name, one.subject), publish_attachments, route, one)[0]

        for one in attachments:
            if one.images:
                publish(one).result()
        for begun in [publish(one) for one in attachments if not one.images]:
            begun.result()

    def _fetch(self, work: ImageWork, present: Mapping[Digest, int]) -> Fetch:
        """Fetches manifests that are not of the image itself: its signatures and its other attachments."""
        target, source = self._target(work), self._resources.open_source(work.repository.source)

        def fetch(descriptor: Descriptor) -> bytes:
            reading = Reading(source, target, work.what, descriptor, None, present)
            return self._pulls.read_one(reading)

        return fetch

    def _target(self, work: ImageWork) -> TargetRepository:
        return self._resources.target.repository(work.repository.target)

    def _check(self) -> None:
        if self.stop.is_set():
            raise Interrupted("interrupted")
        self._deadline.check("apply")


def _size_of(images: Iterable[Image], blobs: Iterable[Descriptor], present: Mapping[Digest, int]) -> int:
    """The bytes of these blobs, and of the images' manifests that are not `present`; each of them once."""
    sizes = {blob.digest: blob.size for blob in blobs}
    sizes |= {one.digest: len(one.body) for image in images for one in image.manifests if one.digest not in present}
    return sum(sizes.values())
