"""Answers of which little is wanted: how one is ended, where it redirects, and how it words a refusal."""

from __future__ import annotations

import contextlib
import re
from itertools import islice
from typing import Any

import httpx

from reconciler.errors import BadAnswer
from reconciler.http.encoding import decoded
from reconciler.http.hosts import is_internal_address, parse_address
from reconciler.http.reason import MAX_BYTES
from reconciler.http.transport import PROXIED

MAX_UNREAD = 64 * 1024
"""Bytes of a body that nobody wants which are still read, because a new connection would cost more."""

MAX_UNREAD_READS = 4
"""Pieces in which those may come: nobody waits for a body that trickles."""

_START = "r2mirror_start"
"""Where an answer keeps the beginning of its body."""

_ABOUT_THE_LOGIN = re.compile(
    rb"expire|too old|renew|refresh|re-?auth|log ?in|credential|password|token", re.IGNORECASE
)

_WRONG_LOGIN = re.compile(
    rb"expired|too old|authentication (failed|required)|bad credentials"
    rb"|(invalid|incorrect|wrong).{0,20}(user|password|token|credential|login)"
    rb"|(user|password|token|credential|login).{0,20}(invalid|incorrect|wrong)",
    re.IGNORECASE,
)
"""What a 403 says that is about the login itself and not about one repository."""


def finish(response: httpx.Response) -> bytes:
    """Ends an answer of which no more is wanted, and returns what was read of its body.

    Only one that is read to its end leaves a connection to use again.
    """
    if response.is_closed or _START in response.extensions:
        response.close()
        return read_start(response)
    body = bytearray()
    declared = response.headers.get("Content-Length", "")
    is_short = re.fullmatch(r"[0-9]{1,9}", declared) is not None and int(declared) <= MAX_UNREAD
    try:
        if not response.is_stream_consumed and (is_short or response.request.method == "HEAD"):
            assert isinstance(response.stream, httpx.SyncByteStream)
            with contextlib.suppress(httpx.HTTPError):
                for chunk in islice(response.stream, MAX_UNREAD_READS):
                    body += chunk
    finally:
        response.close()
    response.extensions[_START] = bytes(body)
    return bytes(body)


def read_start(response: httpx.Response) -> bytes:
    """The beginning of a body, as far as it comes at once, read once; nothing is wrong where there is none."""
    start: bytes | None = response.extensions.get(_START)
    if start is not None:
        return start
    body = bytearray()
    if not (response.is_closed or response.is_stream_consumed or response.request.method == "HEAD"):
        with contextlib.suppress(httpx.HTTPError, BadAnswer):
            for chunk in islice(decoded(response, ""), MAX_UNREAD_READS):
                body += chunk
                if len(body) >= MAX_BYTES:
                    break
    response.extensions[_START] = bytes(body)
    return bytes(body)


def redirect_target(response: httpx.Response) -> str | None:
    """The URL that a redirect leads to, as httpx reads it, so that what is checked is what is asked; None: it is none.

    Raises `httpx.InvalidURL`.
    """
    if not response.has_redirect_location:
        return None
    return str(response.request.url.join(response.headers["Location"]))


def is_about_the_login(response: httpx.Response, body: bytes) -> bool:
    """Whether a refusal may be over with other credentials: a 401, or a 403 that says so, or cannot for it has no body.

    ECR answers 403 where its password of twelve hours has run out.
    """
    if response.status_code == httpx.codes.FORBIDDEN:
        return response.request.method == "HEAD" or bool(_ABOUT_THE_LOGIN.search(body))
    return response.status_code == httpx.codes.UNAUTHORIZED


def is_wrong_login(response: httpx.Response) -> bool:
    """Whether a refusal is of the login as such: a 401, or a 403 that says so."""
    if response.status_code == httpx.codes.FORBIDDEN:
        return bool(_WRONG_LOGIN.search(read_start(response)))
    return response.status_code == httpx.codes.UNAUTHORIZED


def comes_from_inside(response: httpx.Response) -> bool:
    """Whether the one who answered has an address inside this network, as far as the connection shows it.

    A name says nothing about that, and what it resolves to may be another address the next time. Behind a proxy the
    connection shows the proxy. To be asked while the answer is open.
    """
    if response.extensions.get(PROXIED):
        return False
    stream: Any = response.extensions.get("network_stream")
    try:
        server = stream.get_extra_info("server_addr") if stream else None
        address = parse_address(server[0].partition("%")[0]) if server else None
    except (OSError, TypeError, AttributeError):
        return False
    return address is not None and is_internal_address(address)
