"""The moment at which a run ends, done or not (`--timeout`)."""

from __future__ import annotations

import time
from collections.abc import Callable

from reconciler.errors import OutOfTime

REASON = "the time of this run (--timeout) is over; run it again, or give it a longer --timeout"


class Deadline:
    """A moment `seconds` from now by `clock`, or never if `seconds` is None. Safe for any number of threads."""

    def __init__(self, seconds: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = float("inf") if seconds is None else clock() + seconds

    @property
    def left(self) -> float:
        """The seconds that are left, 0 once it has passed."""
        return max(0.0, self._at - self._clock())

    @property
    def is_over(self) -> bool:
        return self.left == 0

    def check(self, what: str) -> None:
        """Raises `OutOfTime` about `what` if it is over."""
        if self.is_over:
            raise OutOfTime(what, REASON)


NEVER = Deadline()
