"""Bodies that come gzip-encoded, although every request of ours asks for them as they are.

Some proxies compress JSON whatever is asked for. What a digest is of is the body before that.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING

from reconciler.errors import BadAnswer

if TYPE_CHECKING:
    import httpx

PIECE = 256 * 1024
"""Bytes that are decoded at once, however few encoded ones they were: the reader can stop after each piece."""


def is_encoded(response: httpx.Response) -> bool:
    """Whether an answer's Content-Length is not that of what it holds."""
    return _encoding(response) not in ("", "identity")


def decoded(response: httpx.Response, what: str) -> Generator[bytes, None, None]:
    """The body in pieces, without its Content-Encoding. Raises `BadAnswer` for one that cannot be taken off."""
    encoding = _encoding(response)
    if not is_encoded(response):
        yield from response.iter_raw()
    elif encoding in ("gzip", "x-gzip"):
        yield from _gunzipped(response.iter_raw(), what)
    else:
        host = response.request.url.host
        raise BadAnswer(
            what, f"{host} encodes its answer as {encoding[:40]!r}; it was asked for none, and may use gzip"
        )


def _encoding(response: httpx.Response) -> str:
    encoding: str = response.headers.get("Content-Encoding", "")
    return encoding.strip().lower()


def _gunzipped(chunks: Iterable[bytes], what: str) -> Generator[bytes, None, None]:
    """A body that ends early just ends: its length and digest tell."""
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        for chunk in chunks:
            rest, piece = chunk, b""
            while rest or len(piece) == PIECE:
                if inflate.eof:
                    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
                piece = inflate.decompress(rest, PIECE)
                rest = inflate.unused_data or inflate.unconsumed_tail
                if piece:
                    yield piece
    except zlib.error as error:
        raise BadAnswer(what, f"the answer is said to be gzip-encoded and cannot be decoded: {error}") from None
