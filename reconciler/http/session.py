"""Sends requests to a registry and the hosts that it refers to, concurrently, and as the state of each host allows."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import httpx

from reconciler.http.breaker import Breakers
from reconciler.http.client import CONNECT_TIMEOUT, HEADERS, READ_TIMEOUT
from reconciler.http.faults import fault_words
from reconciler.http.lanes import Content, Lanes
from reconciler.http.patience import Retry, is_temporary, retry_after
from reconciler.http.tally import ANSWERS
from reconciler.http.transport import Home, Transport
from reconciler.work.deadline import NEVER

if TYPE_CHECKING:
    import ssl

    from reconciler.http.patience import Patience
    from reconciler.http.rate import Rate
    from reconciler.work.deadline import Deadline

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

POOL_TIMEOUT = 600.0
"""Seconds until a connection of our own has to be free: long, for layers of gigabytes may occupy all of them."""

SHORT_TIMEOUT = httpx.Timeout(10.0, connect=3.0)
"""For a host that the breaker counts as down."""

KEEP_ALIVE = 30.0
"""Seconds that an idle connection is kept: people read a plan before they confirm it."""


class Session:
    """Sends requests over at most `connections` connections. Shared by all threads, to be closed.

    name      the registry's, for errors
    floor     the bytes a second that a connection has to bring
    trust     makes the TLS context when it is first needed
    patience  the policy for retries
    deadline  once it is over, no request is sent
    rate      limits the requests a second
    home      the place that has a TLS context of its own
    """

    def __init__(
        self,
        name: str,
        connections: int,
        floor: float,
        trust: Callable[[], ssl.SSLContext],
        patience: Patience,
        deadline: Deadline = NEVER,
        rate: Rate | None = None,
        home: Home | None = None,
    ) -> None:
        self._name = name
        self._rate = rate
        self._deadline = deadline
        self._breakers = Breakers(patience.clock)
        self._retry = Retry(patience, self._breakers, deadline)
        timeout = httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT)
        # Two connections for each lane: one to the registry, one to the host that it redirects to.
        self._lanes = Lanes(lambda: Transport(2, KEEP_ALIVE, floor, trust, home), connections, POOL_TIMEOUT, timeout)

    def close(self) -> None:
        self._lanes.close()

    def patiently(self, send: Callable[[], Result]) -> Result:
        """Returns what `send` returns, and retries it where that may help."""
        return self._retry(send)

    def send(self, method: str, url: str, headers: Mapping[str, str], content: Content = None) -> httpx.Response:
        """Sends one request and returns the answer, open; redirects are not followed.

        Raises as httpx does, `LeftAlone` for a host that is down, and `OutOfTime`.
        """
        if self._rate:
            self._rate.take(self._deadline)
        started = time.monotonic()
        # Only scheme and host are the key of the cache: whole URLs are nearly all different, and would never hit it.
        host = _host_in("/".join(url.split("/", 3)[:3]))
        breaker = self._breakers.of(host)
        breaker.check()
        self._deadline.check(self._name)
        left = min(self._deadline.left, breaker.patience)
        timeout = SHORT_TIMEOUT if breaker.is_down else _short_of(left)
        sent = breaker.now()
        try:
            response = self._lanes.send(method, url, {**HEADERS, **headers}, content, timeout)
        except httpx.TransportError as error:
            ANSWERS.add(host, None)
            # Here and not where attempts are counted: a HEAD that a GET overrules is given up without being counted.
            if isinstance(error, httpx.ConnectTimeout | httpx.ReadTimeout):
                breaker.was_silent(sent, fault_words(error))
            raise
        ANSWERS.add(host, response.status_code)
        if self._rate and response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            self._rate.hold(retry_after(response))
        if is_temporary(response.status_code):
            breaker.spoke()
        else:
            breaker.answered()
        if logger.isEnabledFor(logging.DEBUG):
            seconds = time.monotonic() - started
            fields = {"host": response.url.host, "status": response.status_code, "seconds": round(seconds, 3)}
            url = _without_query(response.url)
            logger.debug("%s %s: %d, %.2f s", method, url, response.status_code, seconds, extra=fields)
        return response


def _short_of(left: float) -> httpx.Timeout | None:
    """Returns time-outs for a request that has `left` seconds; None for the usual ones."""
    return httpx.Timeout(max(1.0, left), connect=max(1.0, min(left, CONNECT_TIMEOUT))) if left < READ_TIMEOUT else None


@lru_cache(maxsize=256)
def _host_in(url: str) -> str:
    """Returns the host[:port] of a URL as httpx spells it in errors, so that both find the same breaker."""
    return httpx.URL(url).netloc.decode("ascii")


def _without_query(url: httpx.URL) -> str:
    """Returns a URL for the log: the query of a signed one is a secret."""
    return f"{url.scheme}://{url.host}:{url.port}{url.path}" if url.port else f"{url.scheme}://{url.host}{url.path}"
