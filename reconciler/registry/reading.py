"""Reads a blob from where it comes, while it is uploaded: in parts, hashed on its way, and again where that is needed.

The last piece is handed out only once the whole blob has its digest and size. A blob that does not is so never sent
whole, and no registry can take it for sound.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

from reconciler.errors import BadAnswer, MirrorError

if TYPE_CHECKING:
    from reconciler.oci.spec import Descriptor

    OpenBytes = Callable[[], Iterator[bytes]]
    """Opens a blob's bytes from the beginning."""


class ReadFailed(Exception):
    """The place that a blob is read from failed, not the registry that it is sent to. `error` is its own error."""

    def __init__(self, error: MirrorError) -> None:
        super().__init__(error)
        self.error = error


class Reading:
    """Reads one blob. Used by one thread.

    what        names the blob in errors
    open_bytes  opens it from the beginning, more than once if an upload has to begin anew
    """

    def __init__(self, blob: Descriptor, what: str, open_bytes: OpenBytes) -> None:
        self._blob = blob
        self._what = what
        self._open = open_bytes
        self._pieces: Iterator[bytes] | None = None
        self._rest = b""
        self._offset = 0
        self._hash = hashlib.new(blob.digest.algorithm)

    def close(self) -> None:
        """Ends the reading, and with it the connection that it may hold."""
        pieces, self._pieces = self._pieces, None
        if isinstance(pieces, Generator):
            with contextlib.suppress(Exception):
                pieces.close()

    def part(self, offset: int, count: int) -> Iterator[bytes]:
        """Yields `count` bytes from `offset` on. Raises `ReadFailed`, also if the whole is not what was announced."""
        if self._pieces is None or self._offset != offset:
            self._restart()
            self._skip(offset)
        while count:
            piece = self._next(count)
            count -= len(piece)
            yield piece

    def check(self) -> None:
        """Raises `ReadFailed` unless the bytes so far are the whole blob with its digest. For one without bytes."""
        if self._pieces is None:
            self._restart()
        self._check_end()

    def _restart(self) -> None:
        self.close()
        self._rest, self._offset, self._hash = b"", 0, hashlib.new(self._blob.digest.algorithm)
        try:
            self._pieces = self._open()
        except MirrorError as error:
            raise ReadFailed(error) from error

    def _skip(self, offset: int) -> None:
        while self._offset < offset:
            self._next(offset - self._offset)

    def _next(self, most: int) -> bytes:
        """Reads the next piece of `most` bytes at most, never an empty one."""
        piece = self._rest
        while not piece:
            pulled = self._pulled()
            if pulled is None:
                raise self._failed(f"ends after {self._offset} of {self._blob.size} bytes")
            self._hash.update(pulled)
            piece = pulled
        piece, self._rest = piece[:most], piece[most:]
        self._offset += len(piece)
        if self._offset >= self._blob.size:
            self._check_end()
        return piece

    def _check_end(self) -> None:
        if self._rest or self._offset > self._blob.size or self._has_more():
            raise self._failed(f"is longer than the {self._blob.size} bytes stated in its manifest")
        if self._hash.hexdigest() != self._blob.digest.hex:
            found = f"{self._blob.digest.algorithm}:{self._hash.hexdigest()}"
            raise self._failed(f"expected {self._blob.size} bytes of this digest, got bytes of {found}")

    def _has_more(self) -> bool:
        while (piece := self._pulled()) is not None:
            if piece:
                return True
        return False

    def _pulled(self) -> bytes | None:
        assert self._pieces is not None
        try:
            return next(self._pieces, None)
        except MirrorError as error:
            raise ReadFailed(error) from error

    def _failed(self, why: str) -> ReadFailed:
        self.close()
        return ReadFailed(BadAnswer(self._what, why))
