"""What all requests have in common, and the client for hosts that are sent few of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import httpx

from reconciler import __version__
from reconciler.http.transport import Transport

Response: TypeAlias = httpx.Response
"""What callers read, who need not know the library that brought it."""

USER_AGENT = f"r2mirror/{__version__}"

HEADERS = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
"""Of every request: bytes are wanted as their digest has them."""

CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 60.0
"""Seconds."""

MAX_CONNECTIONS = 16


def open_client(read_timeout: float = READ_TIMEOUT, headers: Mapping[str, str] = HEADERS) -> httpx.Client:
    """Opens a client for all threads, which follows no redirects and tries nothing again. To be closed."""
    return httpx.Client(
        headers=headers,
        timeout=httpx.Timeout(read_timeout, connect=CONNECT_TIMEOUT),
        follow_redirects=False,
        transport=Transport(MAX_CONNECTIONS),
    )
