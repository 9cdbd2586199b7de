"""Decides when a request is retried, and after which wait: one policy for all hosts.

    send = Retry(Patience(attempts=3))
    response = send(partial(client.get, url))

`send` has to raise `Unavailable` for a temporary failure, and to let the exceptions of httpx through.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import httpx

from reconciler.frozen import Frozen
from reconciler.http.answers import answered, host_of, refusal
from reconciler.http.bodies import finish
from reconciler.http.breaker import Breaker
from reconciler.http.clock import header_time
from reconciler.http.faults import failed_host, fault_words, is_settled
from reconciler.words import count as counted
from reconciler.work.deadline import NEVER

if TYPE_CHECKING:
    from reconciler.http.breaker import Breakers
    from reconciler.work.deadline import Deadline

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

LONG_PAUSE = 10.0
"""Seconds. A wait of at least this is logged as a warning."""

MOST_DOUBLINGS = 30
"""Beyond them the wait is centuries, and in the end no number."""


class Patience(Frozen):
    """How often a request is tried, and how long that may take.

    attempts  the number of attempts at most
    longest   the seconds before a retry at most
    total     the seconds for all attempts and waits together; waits for a rate limit may exceed it
    limits    the seconds for which a rate limit is waited out, in any number of attempts
    """

    attempts: int = 5
    longest: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    total: float = 120.0
    limits: float = 0.0
    clock: Callable[[], float] = time.monotonic

    def pause(self, failures: int, asked: float | None = None) -> float:
        """Returns the seconds to wait after a number of failures: doubling, with jitter, at least what was asked."""
        own = 2.0 ** min(failures - 1, MOST_DOUBLINGS) * random.uniform(0.25, 0.5)  # noqa: S311 jitter is no secret
        return min(max(asked or 0.0, own), self.longest)


class Unavailable(Exception):
    """A host answered 429 or 5xx, which may be over soon. `wait` is its Retry-After in seconds."""

    def __init__(self, status: int, host: str, wait: float | None, why: str = "") -> None:
        super().__init__(status, host, wait, why)
        self.status = status
        self.host = host
        self.wait = wait
        self.why = why

    @property
    def is_limit(self) -> bool:
        return self.status == httpx.codes.TOO_MANY_REQUESTS

    def __str__(self) -> str:
        return answered(self.host, self.status, self.why)


class Retry(Frozen):
    """Retries requests for as long as that is worth it.

    patience  the policy
    breakers  know which hosts are down: those get a single attempt; None: every request is on its own
    deadline  no wait exceeds it
    """

    patience: Patience
    breakers: Breakers | None = None
    deadline: Deadline = NEVER

    def __call__(self, send: Callable[[], Result]) -> Result:
        """Returns what `send` returns. Raises its last exception, with the number of attempts as a note."""
        clock = self.patience.clock
        began, waited = clock(), 0.0
        for attempt in count(1):
            sent = clock()
            try:
                return send()
            except (httpx.TransportError, Unavailable) as error:
                breaker = self._breaker(error)
                is_limit = isinstance(error, Unavailable) and error.is_limit
                pause = self.patience.pause(attempt, error.wait if isinstance(error, Unavailable) else None)
                # Waits also count by their length: with a clock that stands still, as in tests, they would never end.
                # A rate limit is exempt from `total`: it says itself when it ends, and giving up costs the image.
                is_late = max(clock() - began, waited) + pause > self.patience.total and not is_limit
                is_late = is_late or pause > self.deadline.left
                is_last = attempt >= self.patience.attempts or breaker.is_down
                # A host that limits our rate is not down, and says itself that it will answer.
                is_last = is_last and not (is_limit and 0 < waited + pause <= self.patience.limits)
                if is_last or is_late or is_settled(error):
                    breaker.gave_up(_words(error), clock() - sent, is_limit=is_limit)
                    error.add_note(f"after {counted(attempt, 'attempt')}")
                    raise
                level = logging.WARNING if pause >= LONG_PAUSE and breaker.is_news() else logging.INFO
                logger.log(level, "%s; trying again in %.1f s", _words(error), pause)
            self.patience.sleep(pause)
            waited += pause
        raise AssertionError("unreachable")

    def _breaker(self, error: httpx.TransportError | Unavailable) -> Breaker:
        host = error.host if isinstance(error, Unavailable) else failed_host(error)
        return self.breakers.of(host) if self.breakers else Breaker(host, self.patience.clock)


def is_temporary(status: int) -> bool:
    """Whether the same request may succeed soon. 501 means that the server lacks the function for good."""
    return status == httpx.codes.TOO_MANY_REQUESTS or (status >= 500 and status != httpx.codes.NOT_IMPLEMENTED)


def unavailable(response: httpx.Response) -> Unavailable:
    """Makes the error for an answer with a temporary status, and closes the answer."""
    wait = retry_after(response)
    why = refusal(response)
    finish(response)
    return Unavailable(response.status_code, host_of(response.request), wait, why)


def retry_after(response: httpx.Response) -> float | None:
    """Returns the seconds from now after which an answer allows another request; None if it does not say."""
    return parse_retry_after(response.headers, datetime.now(UTC))


def parse_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Returns the seconds to wait by a Retry-After header: a number, a date, or Docker Hub's time since the epoch."""
    text = (headers.get("Retry-After") or headers.get("X-Retry-After") or "").strip()
    if not text:
        return None
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]*)?", text):
        seconds = float(text)
        # More than 30 years cannot be a wait, so it is a point in time.
        return seconds if seconds < 10**9 else max(0.0, seconds - now.timestamp())
    until = header_time(text)
    return max(0.0, (until - now).total_seconds()) if until else None


def _words(error: httpx.TransportError | Unavailable) -> str:
    return str(error) if isinstance(error, Unavailable) else fault_words(error)
