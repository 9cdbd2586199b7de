"""Reads small objects of a bucket as clients do: at its public URL, without credentials.

    bucket = PublicBucket("https://cr.example.com")
    answer = bucket.get("v2/_catalog", 1024 * 1024)     # PublicAnswer(url, status, body)

An answer of any status is returned. `PublicError` is raised if there is none that can be used: the name does not
resolve, the connection breaks or trickles, 429 or 5xx persists, the body is too long, or it redirects to another host.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urlsplit

from reconciler.errors import BadAnswer, PublicError, Unreachable, UsageError
from reconciler.frozen import Frozen
from reconciler.http.answers import answered
from reconciler.http.bodies import read_bounded
from reconciler.http.client import open_client
from reconciler.http.faults import NOT_ANSWERED, attempts, explained
from reconciler.http.patience import Patience, Retry, Unavailable, is_temporary, unavailable
from reconciler.http.redirects import TooManyRedirects, follow

if TYPE_CHECKING:
    from reconciler.http.client import Response

logger = logging.getLogger(__name__)

READ_TIMEOUT = 30.0
"""Seconds."""

ATTEMPTS = 3
MAX_REDIRECTS = 3
LONGEST_WAIT = 5.0


class PublicAnswer(Frozen):
    """The answer for a key; `url` is the one that gave it, after redirects."""

    url: str
    status: int
    body: bytes


class PublicBucket:
    """One public address. Safe to share between threads; a context manager that closes its connections.

    Raises `UsageError` for a URL that is not valid.
    """

    def __init__(self, url: str) -> None:
        self.url = base_url(url)
        self._client = open_client(READ_TIMEOUT)
        self._retry = Retry(Patience(ATTEMPTS, LONGEST_WAIT, total=math.inf))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, key: str, limit: int) -> PublicAnswer:
        """Gets what the address answers for `key`, of at most `limit` bytes. Raises `PublicError`."""
        url = f"{self.url}/{quote(key, safe='/:@')}"
        with _translated(url):
            return self._retry(partial(self._once, url, limit))

    def _once(self, url: str, limit: int) -> PublicAnswer:
        """Sends a request and follows its redirects, as long as they stay at this host."""
        response = follow(
            url, self._send, lambda onwards, answer: _check_redirect(str(answer.request.url), onwards), MAX_REDIRECTS
        )
        with closing(response):
            if is_temporary(response.status_code):
                raise unavailable(response)
            return PublicAnswer(str(response.request.url), response.status_code, read_bounded(response, limit, url))

    def _send(self, url: str) -> Response:
        response = self._client.send(self._client.build_request("GET", url), stream=True, auth=None)
        logger.debug("GET %s: %d", url, response.status_code)
        return response


def base_url(url: str) -> str:
    """Returns the URL to which keys are appended. Raises `UsageError` unless it is http(s)://host[:port][/path]."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        parts, valid = urlsplit(""), False
    if not valid or not url.isascii() or not url.isprintable() or " " in url:
        raise UsageError(f"{url[:200]!r} is not a valid mirror address; write for example https://cr.example.com")
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError("the address of a mirror has no user name, query or fragment: it is read without credentials")
    return url.rstrip("/")


def _check_redirect(url: str, onwards: str) -> None:
    """Raises `PublicError` if a redirect leads to another host, or from https to http."""
    before, after = urlsplit(url), urlsplit(onwards)
    upgraded = (before.scheme, after.scheme) == ("http", "https")
    if before.hostname != after.hostname or (before.scheme != after.scheme and not upgraded):
        where = f"{after.scheme}://{after.netloc.rpartition('@')[2]}"
        raise PublicError(url, f"redirects to {where[:200]}, which is not followed; give that address if it is meant")


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Raises `PublicError` for everything that goes wrong at the address within the block."""
    host = urlsplit(url).netloc
    try:
        yield
    except BadAnswer as error:
        raise PublicError(url, error.why) from None
    except Unreachable as error:
        raise PublicError(url, f"{error.what}: {error.why}") from None
    except TooManyRedirects as error:
        raise PublicError(url, str(error)) from None
    except Unavailable as error:
        status = f"{error.status}{attempts(error)}"
        raise PublicError(url, f"{answered(error.host, status, error.why)}; try again later") from None
    except NOT_ANSWERED as error:
        raise PublicError(url, explained(error, host)) from None
