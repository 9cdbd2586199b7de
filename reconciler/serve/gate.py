"""Which requests get as far as the registry: no more at once than there is room for, and none for another's name."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from reconciler.serve.refusals import RETRY_AFTER, Refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Gate:
    """Lets `most` requests at once through to `app`, and probes of `/v2/` always.

    With `loopback_only`, only those whose Host is a name of this machine for itself: a page in a browser here can give
    its own server's name the address 127.0.0.1, and would read everything.
    """

    def __init__(self, app: ASGIApp, most: int, *, loopback_only: bool) -> None:
        self._app, self._most, self._loopback_only = app, most, loopback_only
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = Headers(scope=scope).get("host")
        if self._loopback_only and host is not None and not is_loopback(host):
            await _misdirected(host).answer()(scope, receive, send)
        elif scope["path"] in ("/v2", "/v2/"):
            await self._app(scope, receive, send)
        elif self._under_way >= self._most:
            await _FULL.answer(**{"Retry-After": str(RETRY_AFTER)})(scope, receive, send)
        else:
            await self._counted(scope, receive, send)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= 1


_FULL = Refusal(503, "TOOMANYREQUESTS", "as many requests are under way as this registry takes; try again later")


def is_loopback(host: str) -> bool:
    """Whether a Host header, with a port or without, can only be this machine's name for itself."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.strip("[]").rstrip(".").lower()
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def _misdirected(host: str) -> Refusal:
    why = "this registry listens on loopback alone and answers only for localhost, 127.0.0.1 or [::1]; have a proxy "
    why += "send one of these as Host, or listen elsewhere with --host"
    return Refusal(421, "DENIED", why, {"host": host[:253]})
