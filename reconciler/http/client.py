"""The headers and time-outs of all requests, and a client for hosts that get few of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import httpx

from reconciler import __version__
from reconciler.http.transport import Transport

Response: TypeAlias = httpx.Response
"""For callers outside this package, which alone imports httpx."""

USER_AGENT = f"r2mirror/{__version__}"

HEADERS = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
"""Of every request. `identity`, because a digest is that of the bytes without an encoding."""

CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 60.0
"""Seconds."""

MAX_CONNECTIONS = 16


def open_client(read_timeout: float = READ_TIMEOUT, headers: Mapping[str, str] = HEADERS) -> httpx.Client:
    """Opens a client that all threads share. It follows no redirects and retries nothing. To be closed."""
    return httpx.Client(
        headers=headers,
        timeout=httpx.Timeout(read_timeout, connect=CONNECT_TIMEOUT),
        follow_redirects=False,
        transport=Transport(MAX_CONNECTIONS),
    )
