"""Posts a small document to a URL that is a secret: no error quotes more of it than the host."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import httpx

from reconciler.http.client import HEADERS
from reconciler.http.faults import NOT_ANSWERED, fault_words
from reconciler.http.patience import is_temporary
from reconciler.http.transport import Transport

ATTEMPTS = 3
PAUSE = 1.0
"""Seconds before the second attempt; before each further one it is doubled."""


class PostFailed(Exception):
    """A document was not accepted; the text names the host and says why."""


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    timeout: float,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Posts `body`, and again where that may help. Raises `PostFailed`. Redirects are not followed.

    timeout  the seconds to connect, and to wait for the answer
    """
    host = _host(url)
    for attempt in range(1, ATTEMPTS + 1):
        why, is_final = _try(url, body, headers, timeout)
        if why is None:
            return
        if is_final or attempt == ATTEMPTS:
            raise PostFailed(f"{host}: {why}")
        sleep(PAUSE * 2 ** (attempt - 1))


def _try(url: str, body: bytes, headers: Mapping[str, str], timeout: float) -> tuple[str | None, bool]:
    """Returns why the document was not accepted, None if it was, and whether another attempt is of no use."""
    try:
        with (
            httpx.Client(timeout=timeout, follow_redirects=False, transport=Transport(1)) as client,
            client.stream("POST", url, content=body, headers={**HEADERS, **headers}) as response,
        ):
            # The answer's body is of no interest, and could be endless.
            status = response.status_code
    except NOT_ANSWERED as error:
        return fault_words(error), False
    if response.is_success:
        return None, True
    if response.is_redirect:
        return f"answered {status}, a redirect, which is not followed; use the URL that it leads to", True
    return f"answered {status}", not is_temporary(status)


def _host(url: str) -> str:
    """Returns the host of a URL. Raises `PostFailed` if it is not one of HTTP."""
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.scheme in ("http", "https") else None
    except ValueError:
        host = None
    if not host:
        raise PostFailed("the URL is not a valid one; expected https://HOST/...")
    return host
