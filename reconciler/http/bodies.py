"""Reads bodies of answers, no further than they are wanted."""

from __future__ import annotations

import contextlib
import re
import time
from itertools import islice

import httpx

from reconciler.errors import BadAnswer
from reconciler.http.encoding import decoded
from reconciler.http.reason import MAX_BYTES

MAX_UNREAD = 64 * 1024
"""Bytes of an unwanted body that are still read, because a new connection would cost more time."""

MAX_UNREAD_READS = 4
"""Pieces in which those may arrive: a body that trickles is not waited for."""

BODY_SECONDS = 300.0
"""For the whole body of a document. Layers have no such limit, only a lowest speed (`pace`)."""

_START = "r2mirror_start"
"""The extension of an answer that keeps the beginning of its body, which can be read only once."""


class TooLarge(BadAnswer):
    """An answer is larger than its reader allows."""


def read_bounded(response: httpx.Response, limit: int, what: str) -> bytes:
    """Reads and decodes the whole body. `what` names it in errors.

    Raises `TooLarge` if it has more than `limit` bytes, and `BadAnswer` if it takes too long.
    """
    # Content-Length is not looked at: it may be missing or wrong, and counts the bytes before decoding.
    body = bytearray()
    until = time.monotonic() + BODY_SECONDS
    for chunk in decoded(response, what):
        if time.monotonic() > until:
            raise BadAnswer(what, f"the answer was not there in full after {BODY_SECONDS:.0f} s; try again later")
        body += chunk
        if len(body) > limit:
            raise TooLarge(what, f"the answer has more than {limit} bytes")
    return bytes(body)


def read_up_to(response: httpx.Response, limit: int) -> bytes:
    """Reads the body as it was sent, and stops soon after `limit` bytes."""
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > limit:
            break
    return bytes(body)


def finish(response: httpx.Response) -> bytes:
    """Ends an answer, and returns what was read of its body.

    A short body is read to its end, because only then can its connection be used again.
    """
    # `read_start` has taken bytes off the stream already: httpx does not let it be read a second time.
    if response.is_closed or _START in response.extensions:
        response.close()
        return read_start(response)
    body = bytearray()
    declared = response.headers.get("Content-Length", "")
    is_short = re.fullmatch(r"[0-9]{1,9}", declared) is not None and int(declared) <= MAX_UNREAD
    try:
        # An answer to HEAD has a Content-Length and no body; its end is there at once.
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
    """Returns the beginning of a body, as far as it arrives at once; empty if there is none or it breaks off."""
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
