"""Limits the rate of triggers: a token bucket for each path."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class TokenBucket:
    """Lets `burst` requests pass at once, and `rate` a second after that. Used by one thread: the event loop's."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._tokens, self._filled_at = float(burst), clock()

    def take(self) -> int:
        """Lets a request pass and returns 0, or returns the whole seconds after which to try again."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._tokens < 1:
            return math.ceil((1 - self._tokens) / self._rate)
        self._tokens -= 1
        return 0
