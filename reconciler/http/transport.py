"""Sends httpx's requests over httpcore's connections, because httpx's own transport cannot be configured so far.

Connections obey `pace`, proxies are found by `proxies`, and certificates are verified by `trust`. Proxies and
certificates are loaded when a host first needs them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import httpcore
import httpx

from reconciler.frozen import Frozen
from reconciler.http.long_bodies import body_of
from reconciler.http.pace import PacedBackend, headers_are_complete
from reconciler.http.proxies import read_proxies
from reconciler.http.speed import SLOWEST
from reconciler.http.trust import shared_trust

if TYPE_CHECKING:
    import ssl

    from reconciler.http.proxies import Proxy

PROXIED = "r2mirror_proxied"
"""The extension of an answer that marks it as having come through a proxy."""

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
"""The exception of httpx for each of httpcore: both libraries use the same names."""

_FAULTS = tuple(_KINDS)
_NOT_MADE = (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.ProxyError)


Place: TypeAlias = "tuple[str, str, int | None]"
"""Scheme, host and port as httpx spells them: without a port that is the scheme's."""


class Home(Frozen):
    """The one place that sees our client certificate, and the TLS context for it."""

    place: Place
    trust: ssl.SSLContext

    @classmethod
    def at(cls, url: str, trust: ssl.SSLContext) -> Home:
        parsed = httpx.URL(url)
        return cls((parsed.scheme, parsed.host, parsed.port), trust)


class _Pool(Frozen):
    """The connections that hosts share: all direct ones, or all through one proxy; those over TLS apart."""

    connections: httpcore.ConnectionPool
    proxy: Proxy | None


class Transport(httpx.BaseTransport):
    """Opens connections. Raises as httpx does, and `Unreachable` for a proxy or certificates that cannot be used.

    connections  their number at most: directly, and through each proxy; as many again in plain HTTP
    keep         seconds for which an idle one is kept
    floor        the bytes a second that each has to bring
    trust        makes the TLS context when it is first needed
    home         the place that has a TLS context of its own
    """

    def __init__(
        self,
        connections: int,
        keep: float = 5.0,
        floor: float = SLOWEST,
        trust: Callable[[], ssl.SSLContext] = shared_trust,
        home: Home | None = None,
    ) -> None:
        self._connections = connections
        self._keep = keep
        self._floor = floor
        self._trust = trust
        self._home = home
        self._proxies = read_proxies(os.environ)
        self._by_place: dict[Place, _Pool] = {}
        self._made: dict[tuple[Proxy | None, bool, Home | None], _Pool] = {}
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        place = (url.scheme, url.host, url.port)
        # Without the lock: the pool of a place never changes once it is there.
        pool = self._by_place.get(place) or self._pool_for(*place)
        stream: Any = request.stream
        raw = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=stream,
            extensions=request.extensions,
        )
        try:
            answer = pool.connections.handle_request(raw)
        except _FAULTS as error:
            raise _of_httpx(error, request, pool.proxy) from error
        if pool.proxy:
            answer.extensions[PROXIED] = True
        headers_are_complete(answer.extensions.get("network_stream"))
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_AnswerBody(answer, request),
            extensions=answer.extensions,
            request=request,
        )

    def close(self) -> None:
        for pool in self._made.values():
            pool.connections.close()

    def _pool_for(self, scheme: str, host: str, port: int | None) -> _Pool:
        # Those in plain HTTP are apart, so that a run without TLS never loads the certificates, which takes 20 ms.
        proxy, is_plain = self._proxies.of(scheme, host, port), scheme == "http"
        home = self._home if self._home and self._home.place == (scheme, host, port) else None
        with self._lock:
            if (proxy, is_plain, home) not in self._made:
                trust = None if is_plain else home.trust if home else self._trust()
                self._made[proxy, is_plain, home] = _Pool(self._open(proxy, trust), proxy)
            found = self._by_place[scheme, host, port] = self._made[proxy, is_plain, home]
        return found

    def _open(self, proxy: Proxy | None, trust: ssl.SSLContext | None) -> httpcore.ConnectionPool:
        return httpcore.ConnectionPool(
            ssl_context=trust,
            proxy=self._proxy(proxy) if proxy else None,
            max_connections=self._connections,
            max_keepalive_connections=self._connections,
            keepalive_expiry=self._keep,
            network_backend=PacedBackend(httpcore.SyncBackend(), self._floor),
        )

    def _proxy(self, proxy: Proxy) -> httpcore.Proxy:
        where = httpcore.URL(scheme=proxy.scheme.encode(), host=proxy.host.encode(), port=proxy.port, target=b"/")
        # httpcore refuses a TLS context for a proxy that is not reached over TLS.
        return httpcore.Proxy(where, proxy.login, ssl_context=self._trust() if proxy.scheme == "https" else None)


class _AnswerBody(httpx.SyncByteStream):
    """The body of an answer, which raises the exceptions of httpx."""

    def __init__(self, answer: httpcore.Response, request: httpx.Request) -> None:
        self._answer = answer
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from body_of(self._answer, self._request)
        except _FAULTS as error:
            raise _of_httpx(error, self._request) from error

    def close(self) -> None:
        self._answer.close()


def _of_httpx(error: Exception, request: httpx.Request, proxy: Proxy | None = None) -> httpx.TransportError:
    """Converts an exception of httpcore. If no connection was made, the message names the proxy."""
    # The most specific class comes first in the order of inheritance.
    kind = next(_KINDS[one] for one in type(error).__mro__ if one in _KINDS)
    where = f"the proxy {proxy} from the environment: " if proxy and isinstance(error, _NOT_MADE) else ""
    return kind(f"{where}{error}", request=request)
