"""Reads the manifests of images within the quotas of their registries: whole images or none.

This matters only for registries that count pulls (`quota`). Their images are read one at a time, so that the last
answer has the number of pulls that are left, although other clients may use the same account. Before an image is begun,
and before each of its manifests, the pulls that it needs must be left; otherwise the image waits, or is left for
another run. The pulls of an image that cannot be completed are lost, so that no further index is begun after the first
such image.

A manifest that several images have is fetched once in a run, as long as it is among the last `MAX_KEPT` bytes of them.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import Interrupted, Malformed, QuotaSpent
from reconciler.frozen import Frozen
from reconciler.oci.image import choose_platforms, read_image
from reconciler.oci.spec import INDEX_TYPES, Descriptor, Digest, Index, Platform
from reconciler.sources import afford, is_free, quota_of
from reconciler.sources.quota import duration, estimate
from reconciler.sources.reading import held_first, stored_first

if TYPE_CHECKING:
    from reconciler.oci.image import Image
    from reconciler.sources import Source
    from reconciler.sources.quota import Quota
    from reconciler.target.protocol import TargetRepository

logger = logging.getLogger(__name__)

LOOK_AGAIN = 300.0
"""Seconds between two requests for a quota that is waited for."""

LONGEST_WAIT = 24 * 3600.0
"""Seconds that a quota is waited for at most, whatever window its registry claims. Docker Hub's has 6 hours."""

STOP_WITHIN = 1.0
"""Seconds after which an image that waits for its turn notices that the run is stopping."""

MAX_KEPT = 8 * 1024 * 1024
"""Bytes of fetched manifests that a run keeps for its next images."""

Waiting: TypeAlias = "Callable[[str], None]"


class Reading(Frozen):
    """An image to read.

    target   the repository of the store that it is for
    what     the image in messages
    root     its manifest or index
    present  the manifests that `target` holds, digest -> size in bytes as listed
    """

    source: Source
    target: TargetRepository
    what: str
    root: Descriptor
    platforms: tuple[Platform, ...] | None
    present: Mapping[Digest, int]


class Pulls:
    """The manifests that one run reads.

    held     manifests that a saved plan holds, their digests verified
    waiting  called with a sentence for each wait for a quota; None: do not wait
    fetched  called with each manifest that came from a source, and with its size in bytes
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
        """Reads an image as `read_image` does. Raises `QuotaSpent` if too few pulls are left, and `Interrupted`."""
        quota = quota_of(reading.source, reading.root)
        if quota is None:
            return self._read(reading)
        with self._turn(quota.registry):
            return self._read(reading)

    def read_one(self, reading: Reading) -> bytes:
        """Reads the manifest at `reading.root` alone, e.g. a signature. Raises the errors that `read` raises."""
        quota = quota_of(reading.source, reading.root)
        image = _ImageReading(self, reading)
        if quota is None:
            return image.fetch(reading.root)
        with self._turn(quota.registry):
            return image.fetch(reading.root)

    def _read(self, reading: Reading) -> Image:
        image = _ImageReading(self, reading)
        try:
            return read_image(image.fetch, reading.what, reading.root, image.choose)
        except Malformed as error:
            if not error.what.startswith(f"{reading.what}@{reading.root.digest}"):
                raise
            # Some registries answer a HEAD with the wrong media type. That of a GET decides: if it is the same, the
            # manifest really is malformed.
            root = reading.source.described(reading.root.digest)
            if root.media_type == reading.root.media_type:
                raise
            return read_image(image.fetch, reading.what, root, image.choose)

    def check(self) -> None:
        if self.stop.is_set():
            raise Interrupted("interrupted")

    @contextmanager
    def _turn(self, registry: str) -> Iterator[None]:
        with self._lock:
            turn = self._turns.setdefault(registry, threading.Lock())
        # With a timeout, since the image that has the turn may wait for the quota for hours.
        while not turn.acquire(timeout=STOP_WITHIN):
            self.check()
        try:
            self.check()
            yield
        finally:
            turn.release()


class _ImageReading:
    """The reading of one image: what it still has to fetch, as far as its indexes are read, and what it has fetched."""

    def __init__(self, pulls: Pulls, reading: Reading) -> None:
        self._pulls = pulls
        self._reading = reading
        stored = stored_first(reading.source, reading.target.manifest_body, reading.present)
        self._fetch = held_first(pulls.held, stored, reading.present)
        self._needed: set[Digest] = set()
        self._spent = 0

    def fetch(self, descriptor: Descriptor) -> bytes:
        """Returns a manifest of the image, once there are enough pulls for it and for the rest of the image."""
        if not self._costs(descriptor):
            return self._fetch(descriptor)
        body = self._pulls.kept.get(descriptor)
        if body is None:
            # Before each one, since other clients of the account use it at the same time.
            self._afford(self._left(descriptor))
            self._spent += 1
            body = self._fetch(descriptor)
            self._pulls.kept.add(descriptor.digest, body)
            self._pulls.fetched(descriptor.digest, len(body))
        self._needed.discard(descriptor.digest)
        return body

    def choose(self, index: Index) -> tuple[Descriptor, ...]:
        """Returns the manifests of an index that are wanted, once there are enough pulls for all of them."""
        children = choose_platforms(index, self._reading.platforms, self._reading.what)
        self._needed |= {one.digest for one in children if self._costs(one) and self._pulls.kept.get(one) is None}
        self._afford(len(self._needed))
        return children

    def _costs(self, descriptor: Descriptor) -> bool:
        """Whether it has to come from the source, or came from there for another image of this run."""
        is_present = self._reading.present.get(descriptor.digest) == descriptor.size
        is_known = is_present or descriptor.digest in self._pulls.held
        return not is_known and not is_free(self._reading.source, descriptor.digest)

    def _left(self, descriptor: Descriptor) -> int:
        if descriptor.digest == self._reading.root.digest:
            return estimate(descriptor, self._reading.platforms)
        return max(len(self._needed), 1)

    def _afford(self, needed: int) -> None:
        """Returns once so many pulls are left. Raises `QuotaSpent`."""
        pulls, quota = self._pulls, afford(self._reading.source, self._reading.root, needed)
        if quota is None or (needed <= quota.usable and not self._is_risky(quota)):
            return
        # What needs more than the whole quota never fits, however long it is waited for.
        if pulls.waiting and needed + self._spent <= quota.most and self._has_come(pulls.waiting, needed, quota):
            return
        if self._spent:
            pulls.in_vain.add(quota.registry)
        raise QuotaSpent(self._reading.what, _why(quota, needed, self._spent))

    def _is_risky(self, quota: Quota) -> bool:
        """Whether this image begins with an index after one was begun in vain: how many pulls it needs is not known."""
        is_beginning = not self._spent and self._reading.root.media_type in INDEX_TYPES
        return is_beginning and quota.registry in self._pulls.in_vain

    def _has_come(self, tell: Waiting, needed: int, quota: Quota) -> bool:
        """Waits for the quota, no longer than its whole window. Asks by HEAD, which costs no pull."""
        longest = min(quota.window, LONGEST_WAIT)
        tell(
            f"{self._reading.what} needs {needed} pulls; {quota}; checking again every {duration(round(LOOK_AGAIN))}, "
            f"for {duration(round(longest))} at the most"
        )
        waited = 0.0
        while waited <= longest:
            self._pulls.sleep(LOOK_AGAIN)
            self._pulls.check()
            waited += LOOK_AGAIN
            now = quota_of(self._reading.source, self._reading.root, again=True)
            logger.info("%s", now or "no quota any more")
            if now is None or needed <= now.usable:
                return True
        return False


class _Kept:
    """The manifests that were fetched last, up to `size` bytes of them. Threads may share it."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._bodies: OrderedDict[Digest, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, descriptor: Descriptor) -> bytes | None:
        with self._lock:
            body = self._bodies.get(descriptor.digest)
        # A descriptor of another size is wrong, which fetching the manifest reports.
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
    if quota.most < needed + spent <= quota.limit:
        return f"{short}: never as many at once for us. Lower quota_reserve of {quota.registry} under registries"
    if needed + spent > quota.limit:
        return f"{short}: never as many at once. Mirror fewer platforms of it, or log in to an account that has more"
    back = datetime.now(UTC) + timedelta(seconds=quota.window)
    return (
        f"{short}. All are back {duration(quota.window)} after the last pull, by {back:%H:%M} UTC at the latest: apply "
        "again then, let --wait-for-quota wait, or log in"
    )
