"""The moment at which a run ends, done or not: after `--timeout`, or because the program was told to stop."""

from __future__ import annotations

import time
from collections.abc import Callable

from reconciler.errors import OutOfTime

REASON = "the time of this run (--timeout) is over; run it again, or give it a longer --timeout"
CLOSED = "r2mirror was told to stop; the next run goes on from here"


class Deadline:
    """A moment `seconds` from now by `clock`, or never if `seconds` is None. Safe for any number of threads."""

    def __init__(self, seconds: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._closed = False
        self._at = float("inf") if seconds is None else clock() + seconds

    def close(self, seconds: float) -> None:
        """Begins no more work, and ends what is under way in `seconds` at the latest."""
        self._closed = True
        self._at = min(self._at, self._clock() + seconds)

    @property
    def takes_more(self) -> bool:
        """Whether more work may begin."""
        return not self._closed and not self.is_over

    @property
    def reason(self) -> str:
        """Why work is left undone."""
        return CLOSED if self._closed else REASON

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
            raise OutOfTime(what, self.reason)


NEVER = Deadline()
