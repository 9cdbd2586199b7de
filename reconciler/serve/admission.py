"""Admits requests to a server: a limited number at once, and on loopback none for another host's name."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from reconciler.http import hosts
from reconciler.serve.refusals import RETRY_AFTER, Refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Admission:
    """Passes up to `most` concurrent requests on to `app`, and those for `probes` always.

    With `loopback_only`, the Host has to be a loopback name. Otherwise a web page could make its own server's name
    resolve to 127.0.0.1 (DNS rebinding), and read everything through the visitor's browser.
    """

    def __init__(self, app: ASGIApp, most: int, *, loopback_only: bool, probes: Collection[str]) -> None:
        self._app, self._most, self._loopback_only, self._probes = app, most, loopback_only, probes
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = Headers(scope=scope).get("host")
        if self._loopback_only and host is not None and not names_loopback(host):
            await _misdirected(host).answer()(scope, receive, send)
        # A probe that is refused while the server is merely busy would make Kubernetes restart the pod.
        elif scope["path"] in self._probes:
            await self._app(scope, receive, send)
        elif self._under_way >= self._most:
            await _FULL.answer(**{"Retry-After": str(RETRY_AFTER)})(scope, receive, send)
        else:
            await self._counted(scope, receive, send)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        # No lock: everything here runs on the one thread of the event loop.
        self._under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= 1


_FULL = Refusal(503, "TOOMANYREQUESTS", "the limit of concurrent requests is reached; try again later")


def names_loopback(host: str) -> bool:
    """Whether a Host header, with or without a port, can only mean this machine."""
    # RFC 6761, section 6.3: browsers resolve localhost and all names below it to loopback, without DNS.
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.strip("[]").rstrip(".").lower()
    return hosts.is_loopback(name) or name.endswith(".localhost")


def _misdirected(host: str) -> Refusal:
    why = "this server listens on loopback only and answers only for localhost, 127.0.0.1 or [::1]; configure the "
    why += "proxy to send one of these as Host, or listen on another address"
    return Refusal(421, "DENIED", why, {"host": host[:253]})
