"""A bucket as anybody sees it: its public URL, without credentials. Only reads, and nothing of any size.

    bucket = PublicBucket("https://cr.example.com")
    answer = bucket.get("v2/_catalog", 1024 * 1024)     # Answer(url, status, body)

An answer of any status is an answer. What is no answer at all is a `PublicError`: a name that does not resolve, a
connection that breaks or trickles, 429 and 5xx that stay, a body beyond the bound, a redirect to another host.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urlsplit

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from reconciler import __version__
from reconciler.errors import BadAnswer, PublicError, Unreachable, UsageError
from reconciler.http.transport import Transport
from reconciler.sources.registry import read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 30.0
"""Seconds."""

ATTEMPTS = 3
MAX_REDIRECTS = 3
MAX_CONNECTIONS = 16
LONGEST_WAIT = 5.0


@dataclass(frozen=True)
class Answer:
    """What came for a key; `url` is what was asked in the end."""

    url: str
    status: int
    body: bytes


class _TryAgain(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class PublicBucket:
    """One public address, for all threads; to be closed in the end.

    Raises `UsageError` for a URL that cannot be one.
    """

    def __init__(self, url: str) -> None:
        self.url = base_url(url)
        self._client = httpx.Client(
            headers={"User-Agent": f"r2mirror/{__version__}", "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
            transport=Transport(MAX_CONNECTIONS),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, key: str, limit: int) -> Answer:
        """The object under `key`, or what there is in its place, of at most `limit` bytes. Raises `PublicError`."""
        url = f"{self.url}/{quote(key, safe='/:@')}"
        with _explained(url):
            retrying = Retrying(
                retry=retry_if_exception_type((httpx.TransportError, _TryAgain)),
                stop=stop_after_attempt(ATTEMPTS),
                wait=wait_random_exponential(multiplier=0.5, max=LONGEST_WAIT),
                reraise=True,
            )
            return retrying(self._once, url, limit)

    def _once(self, url: str, limit: int) -> Answer:
        """Sends a request and follows its redirects, as long as they stay at this host."""
        for _ in range(MAX_REDIRECTS + 1):
            with self._client.stream("GET", url, auth=None, follow_redirects=False) as response:
                logger.debug("GET %s: %d", url, response.status_code)
                if response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error:
                    raise _TryAgain(response.status_code)
                if response.next_request is None:
                    return Answer(url, response.status_code, read_bounded(response, limit, url))
                onwards = str(response.next_request.url)
            _check_redirect(url, onwards)
            url = onwards
        raise PublicError(url, f"redirects more than {MAX_REDIRECTS} times")


def base_url(url: str) -> str:
    """`url` as keys are appended to it. Raises `UsageError` unless it is http(s)://host[:port][/path]."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        parts, valid = urlsplit(""), False
    if not valid or not url.isascii() or not url.isprintable() or " " in url:
        raise UsageError(f"{url[:200]!r} is no address of a mirror; give one as in https://cr.example.com")
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError("the address of a mirror has no user name, query or fragment: it is read as anybody reads it")
    return url.rstrip("/")


def _check_redirect(url: str, onwards: str) -> None:
    """Raises `PublicError` where a redirect leads to another host, or from https to http."""
    before, after = urlsplit(url), urlsplit(onwards)
    upgraded = (before.scheme, after.scheme) == ("http", "https")
    if before.hostname != after.hostname or (before.scheme != after.scheme and not upgraded):
        where = f"{after.scheme}://{after.netloc.rpartition('@')[2]}"
        raise PublicError(url, f"redirects to {where[:200]}, which is not followed; give that address if it is meant")


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Whatever httpx raises leaves as an error of ours."""
    try:
        yield
    except BadAnswer as error:
        raise PublicError(url, error.why) from None
    except Unreachable as error:
        raise PublicError(url, f"{error.what}: {error.why}") from None
    except _TryAgain as error:
        raise PublicError(url, f"answered {error.status} {ATTEMPTS} times in a row; try again later") from None
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        advice = "check the name, the network and the certificate"
        raise PublicError(
            url, f"cannot connect after {ATTEMPTS} attempts: {str(error) or 'no answer'}; {advice}"
        ) from None
    except httpx.TimeoutException:
        raise PublicError(url, f"no answer in time after {ATTEMPTS} attempts; try again later") from None
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise PublicError(url, f"answered something that is not understood ({type(error).__name__})") from None
