"""Limits the total rate of all downloads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from reconciler.http.speed import parse_rate

BURST = 0.5
"""Seconds of unused rate that may be made up for."""

LOWEST = 64 * 1024
"""Bytes a second. Below it, parallel downloads pause so long between two reads that servers close the connections."""


def parse_bandwidth(text: str) -> float:
    """Parses a rate in bytes a second, e.g. `20MiB/s`, `1.5 GB/s` or `500kB`.

    Raises `ValueError` with what to write instead.
    """
    rate = parse_rate(text)
    if rate < LOWEST:
        raise ValueError(f"{text!r} is less than {LOWEST // 1024}KiB/s, below which servers close the connections")
    return rate


class Bandwidth:
    """A token bucket shared by all threads, filled with `rate` bytes a second."""

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
        # Outside the lock: each thread has reserved its time already, and others may reserve theirs while it sleeps.
        if wait > 0:
            self._sleep(wait)
