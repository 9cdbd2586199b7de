"""Reads what an apply would read to begin with: the bucket's listing, and the manifests of what is new.

Manifests come from the bucket where it has them, else from their source, where they may count as pulls; then no more of
them are read than the source still gives. `Measured.bodies` has those that came from sources, so that a saved plan can
hold them and they are not fetched again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from reconciler.errors import MirrorError, NoPlatform, StoreError
from reconciler.oci.spec import Digest
from reconciler.plan.cost.forecast import Contents, Needed, forecast
from reconciler.plan.cost.pulls import Pulls, Reading
from reconciler.plan.cost.quotas import Take, guess
from reconciler.plan.image_work import image_work, in_turn, left_out_of
from reconciler.plan.plan import leaving_out
from reconciler.plan.sizes import Unread
from reconciler.target.inventory import Inventory, inventories
from reconciler.target.repository import Repository
from reconciler.work.shares import Balanced, Shares
from reconciler.work.threads import RESOLVE_WORKERS, completed
from reconciler.work.unforeseen import foreseen

if TYPE_CHECKING:
    from reconciler.oci.image import Image
    from reconciler.plan.image_work import ImageWork
    from reconciler.plan.plan import Plan
    from reconciler.plan.sizes import Sizes
    from reconciler.sources import OpenSource
    from reconciler.stores import Listed, Store
    from reconciler.stores.requests import Requests
    from reconciler.target.index import LeftOut, MirrorIndex

MAX_BODIES = 32 * 1024 * 1024
"""Bytes of manifests that a saved plan holds at the most."""


@dataclass(frozen=True)
class Measured:
    """The sizes, the manifests for the plan to hold, and what an apply that holds them still fetches.

    `left_out`: by target, the tags that turned out not to be mirrorable as asked, so that the plan can do without them.
    """

    sizes: Sizes
    bodies: Mapping[Digest, bytes]
    takes: tuple[Take, ...]
    left_out: Mapping[str, Mapping[str, LeftOut]]


def measure(
    plan: Plan,
    index: MirrorIndex,
    store: Store,
    open_source: OpenSource,
    executor: Executor,
    requests: Requests | None,
    now: datetime,
    held: Mapping[Digest, bytes] | None,
    named: Callable[[str], Collection[str]] = lambda _: (),
) -> Measured:
    """The sizes of `plan`, made from `index`. `held`: what an earlier plan holds; None: nothing is to be held.

    `named` says of a target which of its tags mirrors.yaml names exactly.

    An image that cannot be read is named among the sizes. Raises `StoreError`.
    """
    size, there = _listed(store)
    totals = _Totals(there, hold=held is not None)
    pulls = Pulls(threading.Event(), held or {}, fetched=totals.fetched.__setitem__)

    def read(work: ImageWork) -> Image:
        target, platforms = work.repository.target, work.repository.platforms
        present = there.get(target, Inventory()).manifests
        source = open_source(work.repository.source)
        return pulls.read(Reading(source, Repository(store, target), work.what, work.root, platforms, present))

    works = in_turn(image_work(plan), open_source)
    balanced = Balanced(works, lambda work: work.registry)
    window = 2 * max(RESOLVE_WORKERS, len(balanced.groups()))
    threads = Shares(executor, RESOLVE_WORKERS, balanced.groups).by(lambda work: work.registry)
    finished = completed(threads, read, balanced, window, 1.0, pulls.stop.set)
    with closing(finished):
        for result in finished:
            if result:
                work, future = result
                balanced.done(work)
                error = future.exception()
                if error is None:
                    totals.add(work, future.result())
                elif isinstance(error, Exception) and not isinstance(error, StoreError):
                    totals.leave_out(work, foreseen(work.what, error), named(work.repository.target))
                else:
                    raise error
    before = Contents(there, size, index, requests)
    unread = tuple(sorted(totals.unread, key=lambda one: (one.target, one.tag)))
    sizes = forecast(leaving_out(plan, totals.unmirrorable), before, totals.needed, totals.fetched, unread, now)
    takes = [Take(source, len(digests), exact=True) for source, digests in totals.fetches.items()]
    return Measured(sizes, totals.bodies, (*takes, *guess(totals.left_out, index)), totals.unmirrorable)


def _listed(store: Store) -> tuple[int, dict[str, Inventory]]:
    """The bytes under the layout's keys, and what is there of each repository."""
    size = 0

    def rows() -> Iterator[Listed]:
        nonlocal size
        for row in store.list("v2/"):
            size += row.size
            yield row

    there = inventories(rows())
    return size, there


class _Totals:
    """What all images need together, each piece once."""

    def __init__(self, there: Mapping[str, Inventory], *, hold: bool) -> None:
        self.needed: dict[str, Needed] = {}
        self.fetched: dict[Digest, int] = {}
        self.fetches: dict[str, set[Digest]] = {}
        self.bodies: dict[Digest, bytes] = {}
        self.unread: list[Unread] = []
        self.left_out: list[ImageWork] = []
        self.unmirrorable: dict[str, dict[str, LeftOut]] = {}
        self._there = there
        self._room = MAX_BODIES if hold else 0

    def add(self, work: ImageWork, image: Image) -> None:
        target, source = work.repository.target, work.repository.source
        needed = self.needed.setdefault(target, Needed())
        present = self._there.get(target, Inventory()).manifests
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
        """Keeps a manifest for the plan, or counts it for those that an apply fetches, each once."""
        fetches = self.fetches.setdefault(source, set())
        if digest in self.bodies or any(digest in others for others in self.fetches.values()):
            return
        if len(body) <= self._room:
            self.bodies[digest] = body
            self._room -= len(body)
        else:
            fetches.add(digest)
