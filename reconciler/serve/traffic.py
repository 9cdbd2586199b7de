"""Counts what clients ask a server for, and what it answers: for metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from reconciler.http.tally import STATUSES, status_class
from reconciler.target.layout import PAGE

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_FIXED = {"/": "page", f"/{PAGE}": "page", "/v2": "ping", "/v2/": "ping", "/v2/_catalog": "catalog", "/token": "token"}
_KINDS = ("manifests", "blobs", "tags", "referrers")
OTHER = "other"
ENDPOINTS = (*sorted(set(_FIXED.values())), *_KINDS, OTHER)


def endpoint(path: str) -> str:
    """Returns which of `ENDPOINTS` a path is of."""
    if path in _FIXED:
        return _FIXED[path]
    kind = path.split("/")[-2:-1] if path.startswith("/v2/") else []
    return kind[0] if kind and kind[0] in _KINDS else OTHER


class Tally:
    """Counts requests and answers. Of one event loop; other threads may read it."""

    def __init__(self) -> None:
        self.sent = 0
        # Zeros too: a rate needs the value from before the first one. And no key is added while another thread reads.
        self._requests = {(one, status): 0 for one in ENDPOINTS for status in STATUSES}

    @property
    def requests(self) -> Mapping[tuple[str, str], int]:
        """Returns the requests by endpoint and class of the answer; `none`: the answer was cut off before it began."""
        return dict(self._requests)

    def around(self, app: ASGIApp) -> ASGIApp:
        """Returns `app`, whose requests are counted."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            status: int | None = None
            has_body = scope["method"] != "HEAD"

            async def sending(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                elif has_body:
                    self.sent += len(message.get("body", b""))
                await send(message)

            try:
                await app(scope, receive, sending)
            finally:
                self._requests[endpoint(scope["path"]), status_class(status)] += 1

        return counted
