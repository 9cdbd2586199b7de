"""Reads long bodies straight off their connections, once httpcore has handed out their beginnings.

Why not through httpcore to the end: its parser, h11, copies each byte four times while it holds the interpreter's lock,
which is more than half of what Python does for a large blob. The price: h11 does not see the end of such a body, so
that httpcore closes the connection instead of using it again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import httpcore

if TYPE_CHECKING:
    import httpx

LONG = 32 * 1024 * 1024
"""Bytes from which a body is long: next to them, the handshakes of a new connection take little time."""

READ_LONG = 512 * 1024
"""Bytes to read from a socket at once. Where h11 copies them, such large pieces cost more time than they save."""


def body_of(answer: httpcore.Response, request: httpx.Request) -> Iterator[bytes]:
    """Yields the body of an answer to a request. Raises as httpcore does."""
    stream: Any = answer.stream
    size = _declared(answer) if request.method == "GET" else 0
    if size < LONG:
        yield from stream
        return
    timeout = request.extensions.get("timeout", {}).get("read")
    chunks: Generator[bytes, None, None] = iter(stream)
    with contextlib.closing(chunks):
        # All that h11 has so far: what follows is still in the socket.
        first = next(chunks)
        yield first
        yield from _rest(answer.extensions["network_stream"], size, len(first), timeout)


def _rest(stream: httpcore.NetworkStream, size: int, came: int, timeout: float | None) -> Iterator[bytes]:
    while came < size:
        chunk = stream.read(READ_LONG, timeout)
        if not chunk:
            raise httpcore.RemoteProtocolError(f"it closed the connection after {came} of {size} bytes")
        # A server may send more than it has declared; whatever that is, it is not of this body.
        chunk = chunk[: size - came]
        came += len(chunk)
        yield chunk


def _declared(answer: httpcore.Response) -> int:
    """Returns the length of a body whose end is told by `Content-Length` alone; 0 for others."""
    headers = {name.lower(): value for name, value in answer.headers}
    length = headers.get(b"content-length", b"")
    is_plain = answer.status in (200, 206) and b"transfer-encoding" not in headers
    return int(length) if is_plain and length.isdigit() else 0
