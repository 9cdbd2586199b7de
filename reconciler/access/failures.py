"""Limits how often a login may fail. Memory is bounded: the oldest entry makes room."""

from __future__ import annotations

MAX_FAILURES = 10
WINDOW = 60
"""Seconds, from the first failure."""

MAX_REMEMBERED = 1000


class Failures:
    """Counts failed logins by client and name. Not thread-safe: for one event loop."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], tuple[int, int]] = {}

    def retry_after(self, client: str, name: str, now: int) -> int:
        """Returns the seconds for which a login that fails is answered so; 0 if none has to wait."""
        first, count = self._counts.get((client, name[:40]), (now, 0))
        return max(0, first + WINDOW - now) if count >= MAX_FAILURES else 0

    def add(self, client: str, name: str, now: int) -> None:
        who = (client, name[:40])
        first, count = self._counts.pop(who, (now, 0))
        if len(self._counts) >= MAX_REMEMBERED:
            del self._counts[next(iter(self._counts))]
        self._counts[who] = (now, 1) if first + WINDOW <= now else (first, count + 1)
