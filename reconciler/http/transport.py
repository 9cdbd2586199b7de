"""Sends requests of httpx over connections of httpcore, whose public names let us say what httpx's do not.

What differs from httpx's own transport: connections are under the rule of `pace`, proxies are those of `proxies`, and
certificates are believed as `trust` says. Each is read when a host first needs it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpcore
import httpx

from reconciler.http.pace import PacedBackend, headers_are_complete
from reconciler.http.proxies import read_proxies
from reconciler.http.speed import SLOWEST
from reconciler.http.trust import shared_trust

if TYPE_CHECKING:
    import ssl

    from reconciler.http.proxies import Proxy

PROXIED = "r2mirror_proxied"
"""The extension of an answer that came through a proxy."""

_NAMES = (
    "ConnectTimeout",
    "ReadTimeout",
    "WriteTimeout",
    "PoolTimeout",
    "TimeoutException",
    "ConnectError",
    "ReadError",
    "WriteError",
    "NetworkError",
    "ProxyError",
    "UnsupportedProtocol",
    "LocalProtocolError",
    "RemoteProtocolError",
    "ProtocolError",
)
_KINDS: dict[type[Exception], type[httpx.TransportError]] = {
    getattr(httpcore, name): getattr(httpx, name) for name in _NAMES
}
"""Both libraries call the same fault by the same name."""

_FAULTS = tuple(_KINDS)
_NOT_MADE = (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.ProxyError)


@dataclass(frozen=True)
class _Way:
    """The connections to a kind of place, directly or through a proxy."""

    pool: httpcore.ConnectionPool
    proxy: Proxy | None


class Transport(httpx.BaseTransport):
    """Up to `connections` connections to each kind of place, of which idle ones are kept for `keep` seconds.

    `floor`: bytes a second that each has to bring. `trust` says what to believe when TLS is first spoken. Raises as
    httpx does, and `Unreachable` for a proxy or for certificates that cannot be used.
    """

    def __init__(
        self,
        connections: int,
        keep: float = 5.0,
        floor: float = SLOWEST,
        trust: Callable[[], ssl.SSLContext] = shared_trust,
    ) -> None:
        self._connections = connections
        self._keep = keep
        self._floor = floor
        self._trust = trust
        self._proxies = read_proxies(os.environ)
        self._ways: dict[tuple[str, str, int | None], _Way] = {}
        self._made: dict[tuple[Proxy | None, bool], _Way] = {}
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        place = (url.scheme, url.host, url.port)
        way = self._ways.get(place) or self._way(*place)
        stream: Any = request.stream
        asked = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=stream,
            extensions=request.extensions,
        )
        try:
            answer = way.pool.handle_request(asked)
        except _FAULTS as error:
            raise _of_httpx(error, request, way.proxy) from error
        if way.proxy:
            answer.extensions[PROXIED] = True
        headers_are_complete(answer.extensions.get("network_stream"))
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer, request),
            extensions=answer.extensions,
            request=request,
        )

    def close(self) -> None:
        for way in self._made.values():
            way.pool.close()

    def _way(self, scheme: str, host: str, port: int | None) -> _Way:
        """The connections for a place. Those in plain HTTP are apart, and no certificate is trusted there."""
        proxy, is_plain = self._proxies.of(scheme, host, port), scheme == "http"
        with self._lock:
            if (proxy, is_plain) not in self._made:
                self._made[proxy, is_plain] = _Way(self._open(proxy, is_plain=is_plain), proxy)
            way = self._ways[scheme, host, port] = self._made[proxy, is_plain]
        return way

    def _open(self, proxy: Proxy | None, *, is_plain: bool) -> httpcore.ConnectionPool:
        return httpcore.ConnectionPool(
            ssl_context=None if is_plain else self._trust(),
            proxy=self._proxy(proxy) if proxy else None,
            max_connections=self._connections,
            max_keepalive_connections=self._connections,
            keepalive_expiry=self._keep,
            network_backend=PacedBackend(httpcore.SyncBackend(), self._floor),
        )

    def _proxy(self, proxy: Proxy) -> httpcore.Proxy:
        where = httpcore.URL(scheme=proxy.scheme.encode(), host=proxy.host.encode(), port=proxy.port, target=b"/")
        # httpcore refuses authorities for a proxy that needs none.
        return httpcore.Proxy(where, proxy.login, ssl_context=self._trust() if proxy.scheme == "https" else None)


class _Body(httpx.SyncByteStream):
    """The body of an answer, whose faults are raised as httpx's."""

    def __init__(self, answer: httpcore.Response, request: httpx.Request) -> None:
        self._stream: Any = answer.stream
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except _FAULTS as error:
            raise _of_httpx(error, self._request) from error

    def close(self) -> None:
        self._stream.close()


def _of_httpx(error: Exception, request: httpx.Request, proxy: Proxy | None = None) -> httpx.TransportError:
    """The same fault as httpx calls it; where a connection was not made, with the proxy that it was to go through."""
    kind = next(_KINDS[one] for one in type(error).__mro__ if one in _KINDS)
    where = f"the proxy {proxy} that the environment names: " if proxy and isinstance(error, _NOT_MADE) else ""
    return kind(f"{where}{error}", request=request)
