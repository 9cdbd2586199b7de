"""Lets only those with a token reach the registry: `serve --access`. The judgement is `access.judge`.

A client without a token gets a challenge that names the token endpoint. There it sends the name and the token of
`r2mirror edge token create` by Basic, and gets a short-lived Bearer token for the repositories that it asked for. That
is the token authentication of the distribution project, which `docker login` and all other clients use. Every path also
takes Basic itself: the catalog page for browsers, the others for containerd, whose hosts.toml can only have a header.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from reconciler.access.bearer import LIFETIME
from reconciler.access.failures import Failures
from reconciler.access.judge import (
    Guard,
    Login,
    Verdict,
    exchange,
    is_right,
    judge,
    parse_login,
    repository_of,
    scope_of,
)
from reconciler.regex import expression
from reconciler.serve.refusals import Refusal, no_path

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_PATH = "/token"  # noqa: S105 a path
PAGES = ("/", "/index.html")
PINGS = ("/v2", "/v2/")
_HOST = expression(r"[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")


class Gate:
    """Passes a request on to `app` if the guard allows it. `guard` is called for each, so that it may change."""

    def __init__(self, app: ASGIApp, guard: Callable[[], Guard], now: Callable[[], float] = time.time) -> None:
        self._app, self._guard, self._now = app, guard, now
        self._failures = Failures()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        # Other methods are refused by the registry, which reads nothing for that.
        answer = self._refusal(request) if request.method in ("GET", "HEAD") else None
        if answer:
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, _private(send))

    def _refusal(self, request: Request) -> Response | None:
        """The answer that is not the registry's; None for a request that is allowed."""
        path, now = request.scope["path"], int(self._now())
        try:
            if path == TOKEN_PATH:
                return self._token(request, now)
            if path in PAGES or parse_login(request.headers.get("authorization")):
                self._with_login(request, path, now)
            else:
                self._with_bearer(request, path, now)
        except _Challenged as challenged:
            return challenged.answer()
        except Refusal as refusal:
            return refusal.answer()
        return None

    def _token(self, request: Request, now: int) -> Response:
        guard = self._guard()
        login = self._login(request, guard, now)
        token = exchange(guard, login.name, request.query_params.getlist("scope"), now)
        body = {"token": token, "access_token": token, "expires_in": LIFETIME}
        return JSONResponse(body, headers={"Cache-Control": "no-store"})

    def _with_login(self, request: Request, path: str, now: int) -> None:
        guard, repository = self._guard(), repository_of(path)
        login = self._login(request, guard, now)
        if repository is not None and not guard.may_pull(login.name, repository):
            raise _denied()
        _check_path(repository, path)

    def _with_bearer(self, request: Request, path: str, now: int) -> None:
        repository = repository_of(path)
        match judge(self._guard(), request.headers.get("authorization"), repository, now):
            case Verdict.ALLOWED:
                _check_path(repository, path)
            case Verdict.DENIED:
                raise _denied()
            case verdict:
                scope = scope_of(repository)
                error = 'error="insufficient_scope"' if verdict is Verdict.SCOPE else ""
                raise _Challenged(",".join(filter(None, (_bearer(request), scope and f'scope="{scope}"', error))))

    def _login(self, request: Request, guard: Guard, now: int) -> Login:
        """Checks the login of a request. Raises `_Challenged`, with 429 after many that failed."""
        login = parse_login(request.headers.get("authorization"))
        if login is None:
            raise _Challenged('Basic realm="r2mirror"')
        if is_right(guard, login, now):
            # Whatever failed before: those with an old token must not lock out others behind the same address.
            return login
        client = request.client.host if request.client else ""
        wait = self._failures.retry_after(client, login.name, now)
        if wait:
            raise _Challenged(None, wait)
        self._failures.add(client, login.name, now)
        raise _Challenged('Basic realm="r2mirror"')


class _Challenged(Exception):
    """A request without a valid login: 401 with a challenge, or 429."""

    def __init__(self, challenge: str | None, retry_after: int = 0) -> None:
        super().__init__(challenge, retry_after)
        self._challenge, self._retry_after = challenge, retry_after

    def answer(self) -> Response:
        if self._challenge is None:
            refusal = Refusal(429, "TOOMANYREQUESTS", "too many failed logins; try again later")
            return refusal.answer(**{"Retry-After": str(self._retry_after), "Cache-Control": "no-store"})
        refusal = Refusal(401, "UNAUTHORIZED", "authentication required")
        return refusal.answer(**{"WWW-Authenticate": self._challenge, "Cache-Control": "no-store"})


def _check_path(repository: str | None, path: str) -> None:
    """Refuses what is about no repository, but for the paths of every login.

    Routes are regular expressions, which match a path that ends with a newline as well: it could be one of the lists.
    """
    if repository is None and path not in PINGS:
        raise no_path()


def _denied() -> Refusal:
    return Refusal(403, "DENIED", "this token may not pull that")


def _bearer(request: Request) -> str:
    # Only who sends these headers reads the answer, so that they need not be believed: no cache may store it.
    host = request.headers.get("host", "")
    host = host if _HOST.fullmatch(host) else "localhost"
    is_https = request.headers.get("x-forwarded-proto", "").strip().lower() == "https"
    scheme = "https" if is_https else request.url.scheme
    return f'Bearer realm="{scheme}://{host}{TOKEN_PATH}",service="{host}"'


def _private(send: Send) -> Send:
    """Lets no shared cache keep an answer: `public` would allow it even for requests with a token (RFC 9111, 3.5)."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if "cache-control" in headers:
                headers["Cache-Control"] = headers["Cache-Control"].replace("public", "private")
        await send(message)

    return sending
