"""How fast blobs come from each registry in this run: whether to wait for one that another registry brings.

A repository that lacks a blob copies it from the repository that it is on its way to, so that no byte is moved twice.
That is worth it only while it is faster than fetching the blob: else one slow source would delay every image that
shares a layer with its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

USUAL = 256 * 1024
"""Bytes a second that are assumed for a registry of which nothing is known yet: slow, so that waiting is preferred."""

FIRST = 10.0
"""Seconds before which no rate is reliable: a blob is always waited for that long."""


class Arrivals:
    """The rates of registries in one run, for many threads. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._came: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._begun: dict[str, dict[int, float]] = {}
        self._lock = threading.Lock()

    def begin(self, registry: str) -> Callable[[int], None]:
        """Notes that a blob begins to come. Call the result with the bytes that came, and with -1 at the end."""
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
        """Returns the average bytes a second of one connection to a registry; None if that is not known yet."""
        with self._lock:
            now = self._clock()
            took = self._took.get(registry, 0.0) + sum(now - at for at in self._begun.get(registry, {}).values())
            return self._came.get(registry, 0.0) / took if took >= FIRST else None

    def is_worth_waiting(self, size: int, there: str, here: str, waited: float) -> bool:
        """Returns whether a blob on its way from `there` is likely to arrive before it could be fetched from `here`.

        `waited`: the seconds of waiting so far.
        """
        if there == here or waited < FIRST:
            return True
        theirs, ours = self.rate(there), self.rate(here) or USUAL
        return theirs is None or size * ours <= max(size, FIRST * ours) * theirs
