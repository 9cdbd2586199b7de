"""Limits the requests a second that a host gets from all threads, and stops them all while it limits our rate."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.work.deadline import Deadline

BURST = 1.0
"""Seconds of unused rate that may be made up for."""

LONGEST_HOLD = 60.0
"""Seconds. A host that asks for a longer pause is asked again after this one."""

DEFAULT_HOLD = 1.0
"""Seconds, after a 429 that does not say when to come back."""


class Rate:
    """A budget of requests, filled with `rate` requests a second. None: no budget, only pauses that a host asks for."""

    def __init__(
        self,
        rate: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._cost = 1 / rate if rate else 0.0
        # At least one request may go at once, however low the rate is.
        self._spare = max(BURST - self._cost, 0.0)
        self._clock = clock
        self._sleep = sleep
        self._free_at = self._held_until = float("-inf")
        self._lock = threading.Lock()

    def take(self, deadline: Deadline) -> None:
        """Waits for the turn of one request, but not beyond the deadline."""
        with self._lock:
            now = self._clock()
            turn = max(self._free_at, now - self._spare, self._held_until)
            self._free_at = turn + self._cost
        # Outside the lock: each thread has its turn already, and others may get theirs while it sleeps.
        wait = min(turn - now, deadline.left)
        if wait > 0:
            self._sleep(wait)

    def hold(self, seconds: float | None) -> None:
        """Sends nothing for as long as the host asks after a 429; None if it does not say how long."""
        pause = min(DEFAULT_HOLD if seconds is None else seconds, LONGEST_HOLD)
        with self._lock:
            self._held_until = max(self._held_until, self._clock() + pause)
