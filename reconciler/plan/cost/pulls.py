"""Reads the manifests of images, and never more of them than their registry still gives: whole images or none.

Only where a registry counts (`quota`). Its images then take turns, so that its last answer says what is left, although
other clients may spend from the same account. Before an image is begun, and before each of its manifests, what it needs
has to fit; where it does not, the image is left for another run, or waits. What was read in vain is lost: after the
first such image no further index is begun.

A manifest that several images have is read once in a run, as far as `MAX_KEPT` bytes of them can be kept.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import Interrupted, Malformed, QuotaSpent
from reconciler.oci.image import choose_platforms, read_image
from reconciler.oci.spec import INDEX_TYPES, Descriptor, Digest, Index, Platform
from reconciler.sources import quota_of
from reconciler.sources.quota import duration, estimate
from reconciler.sources.reading import held_first, stored_first

if TYPE_CHECKING:
    from reconciler.oci.image import Image
    from reconciler.sources import Source
    from reconciler.sources.quota import Quota
    from reconciler.target.repository import Repository

logger = logging.getLogger(__name__)

LOOK_AGAIN = 300.0
"""Seconds between two looks at a quota that is waited for."""

LONGEST_WAIT = 24 * 3600.0
"""Seconds that a quota is waited for, whatever window its registry claims. Docker Hub's has 6 hours."""

STOP_WITHIN = 1.0
"""Seconds in which an image that waits for its turn sees that the run is to stop."""

MAX_KEPT = 8 * 1024 * 1024

Waiting: TypeAlias = "Callable[[str], None]"


@dataclass(frozen=True)
class Reading:
    """The image at `root` for `target`, which holds the manifests `present`, digest -> size in bytes as listed."""

    source: Source
    target: Repository
    what: str
    root: Descriptor
    platforms: tuple[Platform, ...] | None
    present: Mapping[Digest, int]


class Pulls:
    """The readings of one run.

    held     manifests that a saved plan has, their digests verified
    waiting  is told, in words, of each wait for a quota; None: do not wait
    fetched  is told of each manifest that came from a source, and of its bytes
    """

    def __init__(
        self,
        stop: threading.Event,
        held: Mapping[Digest, bytes],
        waiting: Waiting | None = None,
        fetched: Callable[[Digest, int], None] = lambda _, __: None,
    ) -> None:
        self.stop = stop
        self.held = held
        self.waiting = waiting
        self.fetched = fetched
        self.sleep: Callable[[float], object] = stop.wait
        self.in_vain: set[str] = set()
        self.kept = _Kept(MAX_KEPT)
        self._lock = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}

    def read(self, reading: Reading) -> Image:
        """As `read_image`. Raises `QuotaSpent` where too little of the quota is left, and `Interrupted`."""
        quota = quota_of(reading.source, reading.root)
        if quota is None:
            return self._read(reading)
        with self._turn(quota.registry):
            return self._read(reading)

    def read_one(self, reading: Reading) -> bytes:
        """The manifest at `reading.root` alone, such as a signature. Raises as `read` does."""
        quota = quota_of(reading.source, reading.root)
        way = _Way(self, reading)
        if quota is None:
            return way.fetch(reading.root)
        with self._turn(quota.registry):
            return way.fetch(reading.root)

    def _read(self, reading: Reading) -> Image:
        way = _Way(self, reading)
        try:
            return read_image(way.fetch, reading.what, reading.root, way.choose)
        except Malformed as error:
            if not error.what.startswith(f"{reading.what}@{reading.root.digest}"):
                raise
            # A HEAD may have told the wrong media type: what a GET says decides, and raises where it agrees.
            root = reading.source.described(reading.root.digest)
            if root.media_type == reading.root.media_type:
                raise
            return read_image(way.fetch, reading.what, root, way.choose)

    def check(self) -> None:
        if self.stop.is_set():
            raise Interrupted("interrupted")

    @contextmanager
    def _turn(self, registry: str) -> Iterator[None]:
        with self._lock:
            turn = self._turns.setdefault(registry, threading.Lock())
        while not turn.acquire(timeout=STOP_WITHIN):
            self.check()
        try:
            self.check()
            yield
        finally:
            turn.release()


class _Way:
    """One image's way: what it still has to fetch, as far as its indexes have told, and how much it has fetched."""

    def __init__(self, pulls: Pulls, reading: Reading) -> None:
        self._pulls = pulls
        self._reading = reading
        stored = stored_first(reading.source, reading.target.manifest_body, reading.present)
        self._fetch = held_first(pulls.held, stored, reading.present)
        self._needed: set[Digest] = set()
        self._spent = 0

    def fetch(self, descriptor: Descriptor) -> bytes:
        """A manifest of the image, once it can be afforded with the rest."""
        if not self._costs(descriptor):
            return self._fetch(descriptor)
        body = self._pulls.kept.get(descriptor)
        if body is None:
            # Before each: other clients of the account spend meanwhile.
            self._afford(self._left(descriptor))
            self._spent += 1
            body = self._fetch(descriptor)
            self._pulls.kept.add(descriptor.digest, body)
            self._pulls.fetched(descriptor.digest, len(body))
        self._needed.discard(descriptor.digest)
        return body

    def choose(self, index: Index) -> tuple[Descriptor, ...]:
        """The manifests of an index that are wanted, which can all be afforded."""
        children = choose_platforms(index, self._reading.platforms, self._reading.what)
        self._needed |= {one.digest for one in children if self._costs(one) and self._pulls.kept.get(one) is None}
        self._afford(len(self._needed))
        return children

    def _costs(self, descriptor: Descriptor) -> bool:
        """Whether it has to come from the source, or for another image of this run came from there."""
        is_present = self._reading.present.get(descriptor.digest) == descriptor.size
        return not is_present and descriptor.digest not in self._pulls.held

    def _left(self, descriptor: Descriptor) -> int:
        if descriptor.digest == self._reading.root.digest:
            return estimate(descriptor, self._reading.platforms)
        return max(len(self._needed), 1)

    def _afford(self, needed: int) -> None:
        """Returns when so many pulls are left. Raises `QuotaSpent`."""
        pulls, quota = self._pulls, quota_of(self._reading.source)
        if quota is None or (needed <= quota.remaining and not self._is_risky(quota)):
            return
        if pulls.waiting and needed + self._spent <= quota.limit and self._has_come(pulls.waiting, needed, quota):
            return
        if self._spent:
            pulls.in_vain.add(quota.registry)
        raise QuotaSpent(self._reading.what, _why(quota, needed, self._spent))

    def _is_risky(self, quota: Quota) -> bool:
        """Whether this is an index to begin with, and one was begun in vain already: what it takes is not known."""
        is_beginning = not self._spent and self._reading.root.media_type in INDEX_TYPES
        return is_beginning and quota.registry in self._pulls.in_vain

    def _has_come(self, tell: Waiting, needed: int, quota: Quota) -> bool:
        """Waits for the quota, no longer than its whole window. A HEAD tells, and costs nothing."""
        longest = min(quota.window, LONGEST_WAIT)
        tell(
            f"{self._reading.what} needs {needed} pulls; {quota}; looking again every {duration(round(LOOK_AGAIN))}, "
            f"for {duration(round(longest))} at the most"
        )
        waited = 0.0
        while waited <= longest:
            self._pulls.sleep(LOOK_AGAIN)
            self._pulls.check()
            waited += LOOK_AGAIN
            now = quota_of(self._reading.source, self._reading.root, again=True)
            logger.info("%s", now or "no quota any more")
            if now is None or needed <= now.remaining:
                return True
        return False


class _Kept:
    """The manifests that were fetched last, `size` bytes of them at the most; for many threads."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._bodies: OrderedDict[Digest, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, descriptor: Descriptor) -> bytes | None:
        with self._lock:
            body = self._bodies.get(descriptor.digest)
        return body if body is not None and len(body) == descriptor.size else None

    def add(self, digest: Digest, body: bytes) -> None:
        with self._lock:
            if digest in self._bodies or len(body) > MAX_KEPT:
                return
            self._bodies[digest] = body
            self._free -= len(body)
            while self._free < 0:
                _, dropped = self._bodies.popitem(last=False)
                self._free += len(dropped)


def _why(quota: Quota, needed: int, spent: int) -> str:
    short = f"needs {needed} {'more ' if spent else ''}pulls, and {quota}"
    if needed + spent > quota.limit:
        return f"{short}: never as many at once. Mirror fewer platforms of it, or log in to an account that has more"
    back = datetime.now(UTC) + timedelta(seconds=quota.window)
    return (
        f"{short}. All are back {duration(quota.window)} after the last pull, by {back:%H:%M} UTC at the latest: apply "
        "again then, let --wait-for-quota wait, or log in"
    )
