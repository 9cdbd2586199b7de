"""Finds out whether a registry on this machine speaks plain HTTP, like docker, podman and crane.

Only loopback hosts are tried, without credentials. All others speak https unless mirrors.yaml sets `plain_http`.
"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from reconciler.http.hosts import is_loopback

PATIENCE = 2.0
"""Seconds. A server that speaks TLS ends such a connection at once, or says that it does not accept plain HTTP."""

_STATUS = 12
"""Bytes of `HTTP/1.1 200`."""


def speaks_plain_http(host: str) -> bool:
    """Whether to speak plain HTTP to the registry at `host[:port]`, for which `plain_http` is not set.

    Also true for a loopback host that does not answer: the request fails with the same error either way.
    """
    parts = urlsplit(f"//{host}")
    name = parts.hostname or ""
    if not is_loopback(name):
        return False
    try:
        answer = _ask(name, parts.port or 80, host)
    except OSError:
        return True
    # Go's servers and nginx answer 400 to plain HTTP on a TLS port; others close the connection or send an alert.
    return answer.startswith(b"HTTP/") and answer[-3:] != b"400"


def _ask(name: str, port: int, host: str) -> bytes:
    """Reads the start of the answer to `GET /v2/`, which every registry answers."""
    with socket.create_connection((name, port), PATIENCE) as connection:
        connection.sendall(f"GET /v2/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while len(answer) < _STATUS and (piece := connection.recv(_STATUS - len(answer))):
            answer += piece
    return answer
