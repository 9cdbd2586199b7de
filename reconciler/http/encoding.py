"""Decodes gzip-encoded bodies, which some proxies send although every request of ours accepts none.

A digest is that of the body before it was encoded.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING

from reconciler.errors import BadAnswer

if TYPE_CHECKING:
    import httpx

PIECE = 256 * 1024
"""Bytes decoded at once: a few encoded bytes may decode to gigabytes, and the reader can stop after each piece."""


def is_encoded(response: httpx.Response) -> bool:
    """Whether an answer is encoded, so that its Content-Length is not the length of its content."""
    return _encoding(response) not in ("", "identity")


def decoded(response: httpx.Response, what: str) -> Generator[bytes, None, None]:
    """Yields the decoded body in pieces. Raises `BadAnswer` for an encoding that is not gzip, or is broken."""
    encoding = _encoding(response)
    if not is_encoded(response):
        yield from response.iter_raw()
    elif encoding in ("gzip", "x-gzip"):
        yield from _gunzipped(response.iter_raw(), what)
    else:
        host = response.request.url.host
        raise BadAnswer(
            what,
            f"{host} encodes its answer as {encoding[:40]!r}; no encoding was accepted, and only gzip can be decoded",
        )


def _encoding(response: httpx.Response) -> str:
    encoding: str = response.headers.get("Content-Encoding", "")
    return encoding.strip().lower()


def _gunzipped(chunks: Iterable[bytes], what: str) -> Generator[bytes, None, None]:
    """Yields the decoded pieces. A body that ends early just ends: its length or digest is checked elsewhere."""
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        for chunk in chunks:
            rest, piece = chunk, b""
            # A piece of full length means that zlib may hold more output, even without further input.
            while rest or len(piece) == PIECE:
                # What follows the end of a gzip member is another member (RFC 1952, section 2.2).
                if inflate.eof:
                    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
                piece = inflate.decompress(rest, PIECE)
                rest = inflate.unused_data or inflate.unconsumed_tail
                if piece:
                    yield piece
    except zlib.error as error:
        raise BadAnswer(what, f"the answer is said to be gzip-encoded and cannot be decoded: {error}") from None
