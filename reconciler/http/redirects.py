"""Follows redirects one by one, so that each target is checked before anything is sent there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.http.bodies import finish

if TYPE_CHECKING:
    import httpx

    SendTo = Callable[[str], httpx.Response]
    CheckTarget = Callable[[str, httpx.Response], None]
    """Gets the URL that an answer redirects to, and the open answer. Raises if the redirect may not be followed."""


class TooManyRedirects(Exception):
    """A chain of redirects is too long. `most` is the number that are followed."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.most = most

    def __str__(self) -> str:
        return f"redirects more than {self.most} times"


def follow(url: str, send: SendTo, check: CheckTarget, most: int) -> httpx.Response:
    """Sends a request to `url`, follows its redirects, and returns the last answer, open.

    Raises `TooManyRedirects`, `httpx.InvalidURL`, and what `send` and `check` raise.
    """
    for _ in range(most + 1):
        response = send(url)
        try:
            target = redirect_target(response)
            if target is None:
                return response
            # Before the answer is finished: the check needs its connection, to see whether it came from inside.
            check(target, response)
        except BaseException:
            finish(response)
            raise
        finish(response)
        url = target
    raise TooManyRedirects(most)


def redirect_target(response: httpx.Response) -> str | None:
    """Returns the URL that a redirect leads to; None if the answer is not a redirect. Raises `httpx.InvalidURL`."""
    if not response.has_redirect_location:
        return None
    # Joined and spelled by httpx, which sends the next request: two parsers that read a URL differently would let a
    # host pass the check and another one be contacted.
    return str(response.request.url.join(response.headers["Location"]))


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Returns the scheme, host and port of a URL, with the default port filled in."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
