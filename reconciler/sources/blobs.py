"""Downloads blobs from a registry, and resumes downloads whose connection breaks."""

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
"""How often a download may break and be resumed. Every `BYTES_A_BREAK` received earn one more break: a connection that
is cut every GiB, e.g. by a proxy's time limit, still brings the largest layer home."""


def download(at: Endpoint, descriptor: Descriptor, start: int = 0) -> Generator[bytes, None, None]:
    """Downloads a blob in chunks, and resumes it where its connection breaks. Raises `SourceError` and its kinds.

    start  the number of bytes that are there already
    """
    with at.registry.downloading() as came, contextlib.closing(_whole(at, descriptor, start)) as chunks:
        for chunk in chunks:
            came(len(chunk))
            yield chunk


def _whole(at: Endpoint, descriptor: Descriptor, start: int) -> Generator[bytes, None, None]:
    what = at.what(str(descriptor.digest))
    # At a registry whose blobs keep breaking, a blob gets one attempt.
    offset, spare = start, 0.0 if at.registry.blobs.is_down else float(BLOB_BREAKS)
    started = at.registry.patience.clock()
    while True:
        before, reason = offset, "the answer ended early"
        try:
            with contextlib.closing(_chunks(at, descriptor, offset, what)) as chunks:
                for chunk in chunks:
                    offset += len(chunk)
                    if offset > descriptor.size:
                        raise BadAnswer(what, f"is longer than the {descriptor.size} bytes stated in its manifest")
                    yield chunk
        except Unreachable as error:
            reason = error.why
        if offset == descriptor.size:
            at.registry.blobs.answered()
            return
        spare = min(spare + (offset - before) / BYTES_A_BREAK, BLOB_BREAKS) - 1
        if spare < 0:
            at.registry.blobs.gave_up(reason, at.registry.patience.clock() - started)
            why = f"the download breaks off again and again, the last time after {offset} of {descriptor.size} bytes"
            raise Unreachable(what, f"{why}: {reason}")
        # Only an attempt that brought nothing is followed by a pause: one that brought bytes was accepted.
        if offset == before:
            at.registry.patience.sleep(at.registry.patience.pause(1))


def _chunks(at: Endpoint, descriptor: Descriptor, offset: int, what: str) -> Generator[bytes, None, None]:
    """Yields the bytes of a blob from `offset` on, up to the end of one answer."""
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
    """Returns the bytes of a blob in an answer. A body of `wanted` bytes is taken as it is, whatever its encoding.

    Object stores label a layer that is a gzip file as gzip-encoded if it was uploaded that way; its digest is that of
    the gzip file.
    """
    if not is_encoded(response) or response.headers.get("Content-Length") == str(wanted):
        return response.iter_raw()
    return decoded(response, what)


def to_skip(response: httpx.Response, offset: int, what: str) -> int:
    """Returns how many bytes at the start of an answer are known already. Raises `BadAnswer` for a wrong range."""
    # A server without ranges answers 200 with the whole blob, which RFC 9110, section 14.2 allows.
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        return offset
    if not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
        raise BadAnswer(what, f"the server sent another range than the bytes from {offset} on; try again later")
    return 0
