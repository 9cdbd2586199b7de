"""The blob copies of one run, which the images share, so that no byte is moved twice.

A blob that several repositories want is brought into one of them and copied within the bucket to the others. One that
another repository of the mirror index has already is copied from there (`reuse` decides).

Threads are shared out per registry (`shares`), and no image waits for another registry's slow bytes (`arrivals`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from concurrent.futures import Executor, Future
from functools import partial
from typing import TYPE_CHECKING

from reconciler.apply.arrivals import Arrivals
from reconciler.apply.blob_transfer import Moved, Transfer, transfer
from reconciler.apply.holders import BlobHolders
from reconciler.oci.spec import Descriptor, Digest
from reconciler.sources.kinds import registry_of
from reconciler.target.reuse import CopyFrom
from reconciler.work.shares import Shares
from reconciler.work.threads import Once, came_before

if TYPE_CHECKING:
    from reconciler.apply.settings import Resources
    from reconciler.plan.image_work import ImageWork

logger = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two checks of a blob that another repository gets first."""


class BlobCopies:
    """For the threads of many images.

    sources     target -> source of the repositories in the mirror index, which may be copied from
    owner       the holder of our lock, for the workers of a cluster
    registries  those from which images are still to be copied
    check       raises if the run is to stop
    """

    def __init__(
        self,
        resources: Resources,
        sources: Mapping[str, str],
        owner: str,
        registries: Callable[[], Collection[Hashable]],
        check: Callable[[], None],
    ) -> None:
        self._resources = resources
        self._owner = owner
        self._check = check
        self._threads = Shares(resources.blobs, resources.workers, registries)
        self._holders = BlobHolders(resources.target, sources)
        self._arrivals = Arrivals()
        self._brought: Once[tuple[str, Digest], None] = Once()
        # Digest -> the repository that gets the blob from a source, and from which registry; all others copy it there.
        self._first: dict[Digest, tuple[str, str]] = {}
        self._beginning = threading.Lock()

    def threads(self, registry: Hashable) -> Executor:
        """The threads for blobs of a registry, and for all small requests to it."""
        return self._threads.of(registry)

    def listed(self, repository: str, found: Mapping[Digest, int]) -> None:
        """Notes the listing of a repository, which shows blobs to copy from there."""
        self._holders.listed(repository, found)

    def bring_all(self, work: ImageWork, missing: Iterable[Descriptor]) -> None:
        """Brings blobs into the repository of `work`; returns when all of them are there.

        A blob on its way to another repository is copied from there, unless fetching it is faster than waiting for it.
        """
        missing = tuple(missing)
        self._holders.lacks(missing)
        target, brought = work.repository.target, []
        # The list first, then the waiting: all blobs have to be on their way before the first one is waited for.
        for blob, first, registry, future in [(blob, *self._begin(work, blob)) for blob in missing]:
            if first != target:
                # Its failure there does not matter: the source of this image may have what that one lacked.
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
        """Returns which repository gets the blob first in this run, from which registry, and the future of that."""
        # To be first and to have started is one step: else another image could wait for work that has not begun.
        with self._beginning:
            first, registry = self._first.setdefault(blob.digest, (work.repository.target, work.registry))
            return first, registry, self._start(first, work, blob)

    def _start(self, target: str, work: ImageWork, blob: Descriptor) -> Future[None]:
        """Returns the future of `target` having the blob; starts it for `work` if it has not been started."""
        threads = self.threads(work.registry)
        future, is_first = self._brought(threads, (target, blob.digest), self._bring, target, work, blob)
        if is_first:
            self._resources.progress.wanted(blob.size)
        return future

    def _bring(self, target: str, work: ImageWork, blob: Descriptor) -> None:
        self._check()
        source = work.repository.source
        match self._holders.way(blob, source):
            case CopyFrom(holder):
                moved = self._transfer(Transfer(work.what, source, target, blob, holder))
            case _:
                moved = Moved.LACKING
        if moved is Moved.LACKING:
            # None has it, or the one that had it when it was listed has lost it since.
            likely = self._holders.likely(source, target)
            moved = self._transfer(Transfer(work.what, source, target, blob, likely=likely))
        if moved is Moved.SPARED:
            # Progress counts downloads: these bytes will not come.
            self._resources.progress.wanted(-blob.size)
        self._holders.got(target, blob)

    def _transfer(self, wanted: Transfer) -> Moved:
        """Transfers a blob here or on the cluster, which does not have the files of this machine."""
        cluster = self._resources.cluster
        if cluster is None and wanted.holder is None:
            return self._download(wanted)
        if cluster is None or cluster.config.is_of_this_machine(wanted.source):
            return transfer(wanted, self._resources.open_source, self._resources.target, self._copied)
        moved = cluster.carry(wanted, self._owner, self._check)
        if moved is Moved.SENT:
            self._copied(wanted.blob.size)
        return moved

    def _download(self, wanted: Transfer) -> Moved:
        """Downloads a blob here, and measures how fast it comes."""
        came = self._arrivals.begin(registry_of(wanted.source))

        def copied(size: int) -> None:
            self._copied(size)
            came(max(size, 0))

        try:
            return transfer(wanted, self._resources.open_source, self._resources.target, copied)
        finally:
            came(-1)

    def _copied(self, size: int) -> None:
        # Between two chunks is where a download can be stopped: what is raised here ends it.
        self._check()
        self._resources.progress.copied(size)
