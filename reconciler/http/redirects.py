"""Redirects, followed by hand: where each leads is checked before anything is sent there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.http.bodies import finish

if TYPE_CHECKING:
    import httpx

    SendTo = Callable[[str], httpx.Response]
    CheckTarget = Callable[[str, httpx.Response], None]
    """Raises where the URL that an answer redirects to may not be followed; the answer is still open."""


class TooManyRedirects(Exception):
    """A chain of redirects is longer than it may be. `most` is how many are followed."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.most = most

    def __str__(self) -> str:
        return f"redirects more than {self.most} times"


def follow(url: str, send: SendTo, check: CheckTarget, most: int) -> httpx.Response:
    """Sends a request to `url` and to where it redirects, and returns the open answer that redirects no further.

    Raises `TooManyRedirects`, `httpx.InvalidURL`, and what `send` and `check` raise.
    """
    for _ in range(most + 1):
        response = send(url)
        try:
            target = redirect_target(response)
            if target is None:
                return response
            check(target, response)
        except BaseException:
            finish(response)
            raise
        finish(response)
        url = target
    raise TooManyRedirects(most)


def redirect_target(response: httpx.Response) -> str | None:
    """The URL that a redirect leads to, as httpx reads it, so that what is checked is what is asked; None: it is none.

    Raises `httpx.InvalidURL`.
    """
    if not response.has_redirect_location:
        return None
    return str(response.request.url.join(response.headers["Location"]))


def origin(url: str) -> tuple[str, str | None, int | None]:
    """The scheme, host and port of a URL, the port also where it is the usual one."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
