"""The blobs of a repository at a registry: downloaded as far as they come, and resumed where they break off."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import httpx

from reconciler.errors import BadAnswer, Unreachable
from reconciler.http.encoding import decoded, is_encoded
from reconciler.oci.spec import Descriptor

if TYPE_CHECKING:
    from reconciler.sources.endpoint import Endpoint

BLOB_BREAKS = 3
BYTES_A_BREAK = 64 * 1024 * 1024
"""How often a blob may break off and be resumed; so many bytes that came since make up for one break."""


def download(at: Endpoint, descriptor: Descriptor) -> Generator[bytes, None, None]:
    """Downloads a blob in chunks, and resumes it where its connection breaks. Raises `SourceError` and its kinds."""
    with at.registry.downloading() as came, contextlib.closing(_whole(at, descriptor)) as chunks:
        for chunk in chunks:
            came(len(chunk))
            yield chunk


def _whole(at: Endpoint, descriptor: Descriptor) -> Generator[bytes, None, None]:
    what = at.what(str(descriptor.digest))
    offset, spare = 0, 0.0 if at.registry.blobs.is_down else float(BLOB_BREAKS)
    started = at.registry.patience.clock()
    while True:
        before, reason = offset, "the answer ended early"
        try:
            with contextlib.closing(_chunks(at, descriptor, offset, what)) as chunks:
                for chunk in chunks:
                    offset += len(chunk)
                    if offset > descriptor.size:
                        raise BadAnswer(what, f"goes on after the {descriptor.size} bytes that its manifest says")
                    yield chunk
        except Unreachable as error:
            reason = error.why
        if offset == descriptor.size:
            at.registry.blobs.answered()
            return
        spare = min(spare + (offset - before) / BYTES_A_BREAK, BLOB_BREAKS) - 1
        if spare < 0:
            at.registry.blobs.gave_up(reason, at.registry.patience.clock() - started)
            why = f"the blob breaks off again and again, the last time after {offset} of {descriptor.size} bytes"
            raise Unreachable(what, f"{why}: {reason}")
        if offset == before:
            at.registry.patience.sleep(at.registry.patience.pause(1))


def _chunks(at: Endpoint, descriptor: Descriptor, offset: int, what: str) -> Generator[bytes, None, None]:
    """The bytes of a blob from `offset` on, as far as this answer goes."""
    headers = {"Range": f"bytes={offset}-"} if offset else {}
    url = at.url(f"blobs/{descriptor.digest}")
    with at.registry.answer(url, at.scope, what, headers) as response:
        at.check(response, what, "blob")
        skip = to_skip(response, offset, what)
        for chunk in _bytes_of(response, descriptor.size - offset, what):
            if skip >= len(chunk):
                skip -= len(chunk)
                continue
            yield chunk[skip:]
            skip = 0


def _bytes_of(response: httpx.Response, wanted: int, what: str) -> Iterator[bytes]:
    """The bytes of a blob in an answer: those of the body, if it has `wanted` of them, whatever it is said to be.

    For a layer that is a gzip file itself is said to be gzip-encoded too, by object stores to which it was uploaded so.
    """
    if not is_encoded(response) or response.headers.get("Content-Length") == str(wanted):
        return response.iter_raw()
    return decoded(response, what)


def to_skip(response: httpx.Response, offset: int, what: str) -> int:
    """How many bytes of this answer were had before. Raises `BadAnswer` for a range that was not asked for."""
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        return offset
    if not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
        raise BadAnswer(what, f"asked for the bytes from {offset} on, got others; try again later")
    return 0
