"""Gives up connections that trickle. httpx's read timeout only ends silence: a byte now and then keeps it from firing.

The network streams of httpcore are wrapped, so that one rule, that of `speed`, covers TLS, headers and bodies alike.
Headers that do not end are given up too: any number of interim answers (1xx) may precede the final one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import httpcore

from reconciler.http.speed import Speed

if TYPE_CHECKING:
    import ssl

READ_BYTES = 128 * 1024
"""Bytes to read from a socket at once. With httpcore's 64 KiB, a fast copy spends most of its time in Python."""

MAX_HEAD = 1024 * 1024
"""Bytes that may arrive before the headers of an answer are complete, with any of its body in the same packets."""


def headers_are_complete(stream: object) -> None:
    """Lifts `MAX_HEAD` from the network stream of an answer. To be called before its body is read."""
    if isinstance(stream, _PacedStream):
        stream.head_left = None


class PacedBackend(httpcore.NetworkBackend):
    """Opens connections that raise `httpcore.ReadTimeout` if they bring less than `floor` bytes a second.

    They raise `httpcore.RemoteProtocolError` if the headers of an answer are not complete after `MAX_HEAD` bytes.
    """

    def __init__(self, backend: httpcore.NetworkBackend, floor: float) -> None:
        self._backend = backend
        self._floor = floor

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        # The name is in ASCII by now. As bytes it is not encoded again, which would load the tables of IDNA: 2 ms.
        name: Any = host.encode()
        return _PacedStream(self._backend.connect_tcp(name, port, timeout, local_address, socket_options), self._floor)

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        return _PacedStream(self._backend.connect_unix_socket(path, timeout, socket_options), self._floor)

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)


class _PacedStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, floor: float) -> None:
        self._stream = stream
        self._speed = Speed(floor)
        self.head_left: int | None = None

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        started = time.monotonic()
        body = self._stream.read(max(max_bytes, READ_BYTES), timeout)
        if self.head_left is not None:
            self.head_left -= len(body)
            if self.head_left < 0:
                raise httpcore.RemoteProtocolError("the headers of its answer do not end")
        if self._speed.is_too_slow(len(body), time.monotonic() - started):
            raise httpcore.ReadTimeout(str(self._speed))
        return body

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # A write begins a request: httpcore does not pipeline, so what is read next belongs to its answer.
        self._speed.restart()
        self.head_left = MAX_HEAD
        self._stream.write(buffer, timeout)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _PacedStream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._speed.floor)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
