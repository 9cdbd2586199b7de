"""Remembers which hosts are down, so that the thousand requests of a run do not find out one by one.

A host is down after `ENOUGH` requests in a row were given up; if it limits our rate, after one. Then each request gets
a single attempt with short time-outs. If even that takes long, e.g. because packets are dropped, the host gets no
request at all for `REST` seconds. So does a host that accepts connections and never answers, as soon as it has cost
`LONGEST_SILENCE`. An answer that is not a failure ends all this.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from reconciler.frozen import Frozen

ENOUGH = 2
"""Requests. The first may have met the restart of a server; each has been tried several times already."""

REST = 30.0
SLOW = 1.0
"""Seconds. A refused connection fails in less; an attempt that takes more has met silence, which costs a time-out."""

SILENCE = 60.0
LONGEST_SILENCE = 90.0
SHORTEST_WAIT = 10.0
"""Seconds. A first byte may take `SILENCE`: registries that list a large repository take that long. A host that let so
much time pass without any answer is tried once more, until `LONGEST_SILENCE` is over: a connection that was lost on the
way is worth a second one, and a host that is gone is not worth one for each repository. Requests that begin later get
`SHORTEST_WAIT`."""

SAY_EVERY = 60.0
"""Seconds between two warnings about waits for one host."""


class LeftAlone(Exception):
    """A request was not sent, because its host is down. `why` says how the last request to it failed."""

    def __init__(self, host: str, why: str, failures: int) -> None:
        super().__init__(host, why, failures)
        self.host = host
        self.why = why
        self.failures = failures

    def __str__(self) -> str:
        return (
            f"{self.host} failed {self.failures} requests in a row and gets no more for {REST:.0f} s; "
            f"the last failure: {self.why}"
        )


class _Silence(Frozen):
    """Requests in a row that were not answered in their time.

    since     when the first of them was sent
    known_at  when the first of them was given up
    until     when the last of them was given up
    """

    since: float
    known_at: float
    until: float


class Breaker:
    """The state of one host, as the threads that send requests to it report. `clock` gives seconds."""

    def __init__(self, host: str, clock: Callable[[], float]) -> None:
        self._host = host
        self._clock = clock
        self._failures = 0
        self._is_limit = False
        self._why = ""
        self._resting_until = self._said_until = float("-inf")
        self._silence: _Silence | None = None
        self._is_silent = False
        self._lock = threading.Lock()

    @property
    def is_down(self) -> bool:
        return self._is_limit or self._is_dead

    @property
    def _is_dead(self) -> bool:
        return self._is_silent or self._failures >= ENOUGH

    @property
    def patience(self) -> float:
        """The seconds for which an answer to the next request may be waited for."""
        silence, now = self._silence, self._clock()
        if silence is None or now > silence.until + REST:
            return float("inf")
        return max(SHORTEST_WAIT, silence.since + LONGEST_SILENCE - now)

    def now(self) -> float:
        return self._clock()

    def check(self) -> None:
        """Raises `LeftAlone` while the host is to get no request."""
        if self._is_dead and self._clock() < self._resting_until:
            raise LeftAlone(self._host, self._why, max(self._failures, ENOUGH))

    def gave_up(self, why: str, took: float, *, is_limit: bool = False) -> None:
        """Notes a request that was given up. `took` is the duration of its last attempt in seconds."""
        with self._lock:
            self._failures += 1
            self._is_limit = is_limit
            self._why = why
            if took >= SLOW:
                self._resting_until = self._clock() + REST

    def was_silent(self, sent: float, why: str) -> None:
        """Notes a request that was sent at `sent` and not answered in its time."""
        with self._lock:
            now, before = self._clock(), self._silence
            # What was noted long ago says nothing about now.
            if before is None or sent > before.until + REST:
                before = _Silence(sent, now, now)
            self._silence = replace(before, until=now)
            # Requests that were under way together prove no more than one: a network that is gone for a minute loses
            # all of them, and all are worth a second attempt.
            if sent >= before.known_at and now - before.since >= SILENCE:
                self._is_silent = True
            if self._is_silent:
                self._why = why
                self._resting_until = now + REST

    def answered(self) -> None:
        """Notes an answer that is not a failure, whatever it says."""
        self.spoke()
        # Read without the lock: nearly every answer comes from a sound host, and none of them shall wait here.
        if self._failures:
            with self._lock:
                self._failures = 0
                self._is_limit = False
                self._resting_until = float("-inf")

    def spoke(self) -> None:
        """Notes any answer, also one that is a failure: the host is not silent."""
        if self._silence is not None:
            with self._lock:
                self._silence = None
                self._is_silent = False

    def is_news(self) -> bool:
        """Whether to warn of a wait for this host: once in `SAY_EVERY`, not once for each thread."""
        with self._lock:
            now = self._clock()
            if now < self._said_until:
                return False
            self._said_until = now + SAY_EVERY
            return True


class Breakers:
    """The breakers of all hosts that one registry leads to, by host[:port]."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._breakers: dict[str, Breaker] = {}

    def of(self, host: str) -> Breaker:
        """Returns the breaker of a host. An empty host, i.e. a request that was never sent, has one that forgets."""
        if not host:
            return Breaker(host, self._clock)
        # `setdefault` is atomic: of two threads that make one at once, both get the first.
        return self._breakers.get(host) or self._breakers.setdefault(host, Breaker(host, self._clock))
