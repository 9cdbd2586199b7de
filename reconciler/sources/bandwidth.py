"""Holds all downloads together below a rate."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from reconciler.http.speed import parse_rate

BURST = 0.5
"""Seconds: what was not used of the rate for so long may be made up for."""

LOWEST = 64 * 1024
"""Bytes a second. Below that, many downloads at once take so long between two reads that servers give them up."""


def parse_bandwidth(text: str) -> float:
    """Parses a rate in bytes a second, e.g. `20MiB/s`, `1.5 GB/s` or `500kB`.

    Raises `ValueError` with what to write instead.
    """
    rate = parse_rate(text)
    if rate < LOWEST:
        raise ValueError(f"{text!r} is less than {LOWEST // 1024}KiB/s, at which servers give connections up")
    return rate


class Bandwidth:
    """A bucket that `rate` bytes a second flow into, for all threads together. Each is made to wait in its turn."""

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._free_at = float("-inf")
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """Waits until `size` bytes that have come fit the rate."""
        with self._lock:
            now = self._clock()
            self._free_at = max(self._free_at, now - BURST) + size / self._rate
            wait = self._free_at - now
        if wait > 0:
            self._sleep(wait)
