"""Whether a registry on this machine speaks plain HTTP, as nearly all do: Docker, podman and crane find out, too.

Only loopback hosts are asked, without credentials. Others speak https unless mirrors.yaml says `plain_http`.
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
    """Whether to speak plain HTTP to the registry at `host[:port]`, which has not been said.

    True also for a loopback host that does not answer: then the error says so either way.
    """
    parts = urlsplit(f"//{host}")
    name = parts.hostname or ""
    if not is_loopback(name):
        return False
    try:
        answer = _ask(name, parts.port or 80, host)
    except OSError:
        return True
    # 400 is what Go's servers and nginx have for plain HTTP where TLS is spoken; others close, or send an alert.
    return answer.startswith(b"HTTP/") and answer[-3:] != b"400"


def _ask(name: str, port: int, host: str) -> bytes:
    """The beginning of the answer to a question that every registry answers."""
    with socket.create_connection((name, port), PATIENCE) as connection:
        connection.sendall(f"GET /v2/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while len(answer) < _STATUS and (piece := connection.recv(_STATUS - len(answer))):
            answer += piece
    return answer
