"""Gives up connections that trickle: httpx's read timeout is for silence, and a byte now and then keeps it away.

Wrapped around the network streams of an httpx client, so that headers, bodies, tokens and TLS are all under the same
rule. Only time spent waiting for bytes counts: not what we take to write them away, and not the time to a first byte.
Headers that do not end are given up as well: any number of interim answers (1xx) may come before the final one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpcore
import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

FLOOR = 1024
"""Bytes a second below which a connection is no use: a layer of a GiB would take twelve days."""

WINDOW = 30.0
"""Seconds of waiting over which the rate is taken."""

READ_BYTES = 128 * 1024
"""Bytes to take from a socket at once: httpcore asks for 64 KiB, and then most of a fast copy is Python's own work."""

MAX_HEAD = 1024 * 1024
"""Bytes that may come before an answer's headers are complete; what of its body comes with them included."""


def keep_pace(client: httpx.Client) -> None:
    """Has every connection of `client` from now on raise `httpx.ReadTimeout` when it falls below `FLOOR`.

    And `httpx.RemoteProtocolError` when the headers of an answer are still not complete after `MAX_HEAD` bytes.
    httpx has no public way to give it a network backend (version 0.28), hence the private names.
    """
    for transport in (client._transport, *client._mounts.values()):
        if isinstance(transport, httpx.HTTPTransport):
            pool = transport._pool
            pool._network_backend = _Backend(pool._network_backend)
    client.event_hooks["response"].append(_headers_are_complete)


def _headers_are_complete(response: httpx.Response) -> None:
    """httpx calls this before it reads a body."""
    stream = response.extensions.get("network_stream")
    if isinstance(stream, _Stream):
        stream.head_left = None


class _Backend(httpcore.NetworkBackend):
    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self._backend.connect_tcp(host, port, timeout, local_address, socket_options))

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._backend.connect_unix_socket(path, timeout, socket_options))

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._waited = 0.0
        self._read = 0
        self._is_first = True
        self.head_left: int | None = None

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        started = time.monotonic()
        body = self._stream.read(max(max_bytes, READ_BYTES), timeout)
        if self.head_left is not None:
            self.head_left -= len(body)
            if self.head_left < 0:
                raise httpcore.RemoteProtocolError("the headers of its answer do not end")
        if self._is_first:
            self._is_first = False
            return body
        self._waited += time.monotonic() - started
        self._read += len(body)
        if self._waited >= WINDOW:
            if body and self._read < FLOOR * self._waited:
                raise httpcore.ReadTimeout(f"it sends less than {FLOOR} bytes a second")
            self._waited, self._read = 0.0, 0
        return body

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # A request is sent: whoever answers may think first.
        self._waited, self._read, self._is_first = 0.0, 0, True
        self.head_left = MAX_HEAD
        self._stream.write(buffer, timeout)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
