"""Reads what an apply would read first: the listing of the store, and the manifests of new images.

Manifests come from the store if it has them, and otherwise from their source, where they may count as pulls. No more of
them are read than the source's quota allows. Those from sources are in `Measured.bodies`, so that a saved plan can hold
them and an apply does not fetch them again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING

from reconciler.errors import MirrorError, NoPlatform, StoreError
from reconciler.frozen import Frozen
from reconciler.oci.spec import Digest
from reconciler.plan.cost.forecast import Contents, Needed, forecast
from reconciler.plan.cost.pulls import Pulls, Reading
from reconciler.plan.cost.quotas import PullEstimate, estimate_pulls
from reconciler.plan.cost.serving import requests_of
from reconciler.plan.image_work import image_work, in_turn, left_out_of
from reconciler.plan.plan import leaving_out
from reconciler.plan.sizes import Unread, WorkerUse
from reconciler.target.asked import Asked
from reconciler.target.inventory import Inventory
from reconciler.work.shares import Balanced, Shares
from reconciler.work.threads import RESOLVE_WORKERS, completed
from reconciler.work.unforeseen import foreseen

if TYPE_CHECKING:
    from reconciler.oci.image import Image
    from reconciler.plan.image_work import ImageWork
    from reconciler.plan.plan import Plan
    from reconciler.plan.sizes import Sizes
    from reconciler.sources import OpenSource
    from reconciler.stores.requests import Requests
    from reconciler.target.index import LeftOut, MirrorIndex
    from reconciler.target.protocol import Target

MAX_BODIES = 32 * 1024 * 1024
"""Bytes of manifests that a saved plan holds at most; in the file they are a third longer, as base64."""


class Measured(Frozen):
    """What was found out about a plan.

    sizes     what its apply moves and requests
    bodies    the manifests for the plan to hold
    pulls     what an apply that holds them still fetches
    left_out  target -> tags that turned out not to be mirrorable as configured, so that the plan can leave them out
    blobs     target -> digest -> bytes of what its new images need
    served    what one pull of each new image asks of a Worker
    """

    sizes: Sizes
    bodies: Mapping[Digest, bytes]
    pulls: tuple[PullEstimate, ...]
    left_out: Mapping[str, Mapping[str, LeftOut]]
    blobs: Mapping[str, Mapping[Digest, int]]
    served: WorkerUse


def measure(
    plan: Plan,
    index: MirrorIndex,
    destination: Target,
    open_source: OpenSource,
    executor: Executor,
    requests: Requests | None,
    now: datetime,
    held: Mapping[Digest, bytes] | None,
    named: Callable[[str], Collection[str]] = lambda _: (),
) -> Measured:
    """Measures what applying `plan` takes.

    index     the mirror index that the plan was made from
    requests  how the store counts its requests; None: it does not
    held      the manifests that an earlier plan holds; None: the plan is to hold none
    named     gives the tags of a target that mirrors.yaml names exactly

    An image that cannot be read is named among the sizes. Raises `StoreError`.
    """
    size, there = destination.inventories(one.target for one in plan.repositories)
    totals = _Totals(there, hold=held is not None)
    pulls = Pulls(threading.Event(), held or {}, fetched=totals.fetched.__setitem__)
    works = in_turn(image_work(plan), open_source)
    with closing(_read_each(works, destination, there, open_source, executor, pulls)) as results:
        for work, read in results:
            if isinstance(read, MirrorError):
                totals.leave_out(work, read, named(work.repository.target))
            else:
                totals.add(work, read)
    for target, needed in totals.needed.items():
        blobs = there[target].blobs if target in there else {}
        if isinstance(blobs, Asked):
            blobs.look_up(needed.blobs, executor)
    unread = tuple(sorted(totals.unread, key=lambda one: (one.target, one.tag)))
    before = Contents(there, size, index, requests)
    sizes = forecast(leaving_out(plan, totals.unmirrorable), before, totals.needed, totals.fetched, unread, now)
    still = [PullEstimate(source, len(digests), exact=True) for source, digests in totals.fetches.items()]
    return Measured(
        sizes,
        totals.bodies,
        (*still, *estimate_pulls(totals.left_out, index)),
        totals.unmirrorable,
        {target: needed.blobs for target, needed in totals.needed.items()},
        WorkerUse(totals.images, totals.pull_requests),
    )


def _read_each(
    works: Sequence[ImageWork],
    destination: Target,
    there: Mapping[str, Inventory],
    open_source: OpenSource,
    executor: Executor,
    pulls: Pulls,
) -> Generator[tuple[ImageWork, Image | MirrorError], None, None]:
    """Reads the manifests of the images, those of all registries side by side. Raises `StoreError`."""

    def read(work: ImageWork) -> Image:
        target, platforms = work.repository.target, work.repository.platforms
        present = there.get(target, Inventory()).manifests
        source = open_source(work.repository.source)
        return pulls.read(Reading(source, destination.repository(target), work.what, work.root, platforms, present))

    balanced = Balanced(works, lambda work: work.registry)
    # Twice the threads, so that none is idle between two images, and a place at least for each registry.
    window = 2 * max(RESOLVE_WORKERS, len(balanced.groups()))
    threads = Shares(executor, RESOLVE_WORKERS, balanced.groups).by(lambda work: work.registry)
    with closing(completed(threads, read, balanced, window, 1.0, pulls.stop.set)) as finished:
        for result in finished:
            if result:
                work, future = result
                balanced.done(work)
                yield work, _image_or_error(work, future)


def _image_or_error(work: ImageWork, future: Future[Image]) -> Image | MirrorError:
    """The image, or why there is none. Raises errors of the store, without which nothing can be estimated."""
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, StoreError) or not isinstance(error, Exception):
        raise error
    return foreseen(work.what, error)


class _Totals:
    """What all images need together, each blob and manifest once.

    needed        target -> what its images need
    fetched       the manifests that came from sources, digest -> bytes
    fetches       source -> manifests that the plan does not hold, so that an apply fetches them
    bodies        the manifests that the plan holds
    unread        the tags of images that could not be read
    left_out      those images
    unmirrorable  target -> tags of images that have no wanted platform
    images        how many they are
    pull_requests the requests of a pull of each
    """

    def __init__(self, there: Mapping[str, Inventory], *, hold: bool) -> None:
        self.needed: dict[str, Needed] = {}
        self.fetched: dict[Digest, int] = {}
        self.fetches: dict[str, set[Digest]] = {}
        self.bodies: dict[Digest, bytes] = {}
        self.unread: list[Unread] = []
        self.left_out: list[ImageWork] = []
        self.unmirrorable: dict[str, dict[str, LeftOut]] = {}
        self.images = 0
        self.pull_requests = 0
        self._there = there
        self._room = MAX_BODIES if hold else 0

    def add(self, work: ImageWork, image: Image) -> None:
        target, source = work.repository.target, work.repository.source
        needed = self.needed.setdefault(target, Needed())
        present = self._there.get(target, Inventory()).manifests
        self.images += 1
        self.pull_requests += requests_of(image)
        needed.blobs |= {blob.digest: blob.size for blob in image.blobs}
        for manifest in image.manifests:
            size = len(manifest.body)
            needed.manifests[manifest.digest] = size
            if present.get(manifest.digest) == size:
                needed.reads += 1
            else:
                needed.writes.append(size)
                self._hold(source, manifest.digest, manifest.body)

    def leave_out(self, work: ImageWork, error: MirrorError, named: Collection[str]) -> None:
        target, reason = work.repository.target, getattr(error, "why", str(error))
        out = left_out_of(work, error, named) if isinstance(error, NoPlatform) else {}
        if out:
            self.unmirrorable.setdefault(target, {}).update(out)
        missing = [change.tag for change in work.changes if change.tag not in out]
        if missing:
            self.left_out.append(work)
        self.unread += [Unread(target, tag, reason) for tag in missing]

    def _hold(self, source: str, digest: Digest, body: bytes) -> None:
        """Keeps a manifest for the plan while there is room, or counts it for the apply, which fetches it once."""
        fetches = self.fetches.setdefault(source, set())
        if digest in self.bodies or any(digest in others for others in self.fetches.values()):
            return
        if len(body) <= self._room:
            self.bodies[digest] = body
            self._room -= len(body)
        else:
            fetches.add(digest)
