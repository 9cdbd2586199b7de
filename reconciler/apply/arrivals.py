"""How fast blobs come from each registry in this run: whether to wait for one that another registry brings.

A repository that lacks a blob copies it from the repository that it is on its way to, so that no byte is moved twice.
That is worth it only while it is faster than to fetch it: else one slow source would hold what shares a layer with it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

USUAL = 256 * 1024
"""Bytes a second that a registry is believed to give of which nothing is known yet."""

FIRST = 10.0
"""Seconds that are always waited: there is no reliable rate before."""


class Arrivals:
    """For many threads; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._came: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._begun: dict[str, dict[int, float]] = {}
        self._lock = threading.Lock()

    def begin(self, registry: str) -> Callable[[int], None]:
        """Notes that a blob begins to come; to be called with the bytes that came, and with -1 at its end."""
        with self._lock:
            begun = self._begun.setdefault(registry, {})
            key = max(begun, default=0) + 1
            begun[key] = self._clock()

        def came(size: int) -> None:
            with self._lock:
                if size < 0:
                    self._took[registry] = self._took.get(registry, 0.0) + self._clock() - begun.pop(key)
                else:
                    self._came[registry] = self._came.get(registry, 0.0) + size

        return came

    def rate(self, registry: str) -> float | None:
        """Bytes a second of one connection to a registry, on average; None where nothing is known yet."""
        with self._lock:
            now = self._clock()
            took = self._took.get(registry, 0.0) + sum(now - at for at in self._begun.get(registry, {}).values())
            return self._came.get(registry, 0.0) / took if took >= FIRST else None

    def is_worth_waiting(self, size: int, there: str, here: str, waited: float) -> bool:
        """Whether a blob that comes from `there` is likely to be there before it could be fetched from `here`.

        `waited`: the seconds that were waited for it so far.
        """
        if there == here or waited < FIRST:
            return True
        theirs, ours = self.rate(there), self.rate(here) or USUAL
        return theirs is None or size * ours <= max(size, FIRST * ours) * theirs
