"""Fetches the tokens of a registry from its token server."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import httpx

from reconciler.errors import Denied, LoginRefused
from reconciler.http.answers import answered, comes_from_inside, host_of, refusal
from reconciler.http.bodies import finish, read_bounded
from reconciler.http.patience import is_temporary, unavailable
from reconciler.http.redirects import TooManyRedirects, follow
from reconciler.sources.auth import Token, TokenRequest, parse_token
from reconciler.sources.login_refusals import is_about_the_login

if TYPE_CHECKING:
    from reconciler.sources.access import CheckRealm

    SendRequest = Callable[[str, str, Mapping[str, str], str | None], httpx.Response]
    """Sends a method, a URL, headers and a body."""

MAX_REDIRECTS = 5
MAX_TOKEN_BYTES = 1024 * 1024


def fetch_token(registry: str, send: SendRequest, request: TokenRequest, check: CheckRealm) -> Token:
    """Fetches a token. `check` raises for a URL that no token may be fetched from.

    Raises `LoginRefused` if the token server refuses the credentials, `Denied` for other refusals, `Unavailable`, and
    what `send` and `check` raise.
    """
    with contextlib.closing(_answer(registry, send, request, check)) as answer:
        if is_temporary(answer.status_code):
            raise unavailable(answer)
        if answer.status_code != httpx.codes.OK:
            # A refused login is worth a try with another one; a refused scope is not.
            why = f"its token server {answered(host_of(answer.request), answer.status_code, refusal(answer))}"
            if is_about_the_login(answer, finish(answer)):
                raise LoginRefused(registry, why)
            raise Denied(registry, f"{why}; check the user name and the password or token")
        return parse_token(read_bounded(answer, MAX_TOKEN_BYTES, registry), registry, time.monotonic())


def _answer(registry: str, send: SendRequest, request: TokenRequest, check: CheckRealm) -> httpx.Response:
    """Sends the request, and follows redirects to places where the same credentials may be sent."""
    method = "POST" if request.form else "GET"
    try:
        return follow(
            request.url,
            lambda url: send(method, url, request.headers, request.form),
            lambda url, response: check(url, comes_from_inside(response)),
            MAX_REDIRECTS,
        )
    except TooManyRedirects as error:
        raise Denied(registry, f"its token server {error}") from None
