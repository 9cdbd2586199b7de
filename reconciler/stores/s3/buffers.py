"""The memory for parts and bodies that all uploads of one store share, and the streams that fill it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from reconciler.errors import StoreError
from reconciler.stores import parts

BUFFER_BYTES = 6 * parts.PART_SIZE
"""Bytes of bodies and parts that all uploads of one store hold in memory at once."""

_NOTHING = memoryview(bytes(parts.PART_SIZE))
"""Pages of zeros that are never written to, so that they take no memory."""


class Buffers:
    """Memory for parts and bodies that many threads share, first come, first served.

    Buffers of `PART_SIZE` bytes are kept and lent again, the last one first. One that was cut to the end of a stream
    gets its length back. The buffers that are kept and those that are lent never have more than `size` bytes together.
    """

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        self._spare: list[bytearray] = []
        self._turn = threading.Lock()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taken(self, size: int) -> Iterator[bytearray]:
        """Waits until there is room for a buffer of `size` bytes and lends it for the length of the block."""
        # A part that is larger than everything there is takes everything.
        held = min(size, self._size)
        # Only the holder of the turn waits for room. A Condition alone would let small bodies overtake a part for ever.
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self._free >= held)
            self._free -= held
            buffer = self._spare.pop() if self._spare and size == parts.PART_SIZE else None
            del self._spare[self._free // parts.PART_SIZE :]
        try:
            buffer = buffer or bytearray(size)
            yield buffer
        finally:
            with self._changed:
                self._free += held
                if buffer is not None and size == parts.PART_SIZE:
                    buffer.extend(_NOTHING[: size - len(buffer)])
                    self._spare.append(buffer)
                self._changed.notify()


class Body:
    """A stream of `size` bytes that is cut into parts; `left` of them are still to come. `what` names it in errors."""

    def __init__(self, chunks: Iterator[bytes], size: int, what: str) -> None:
        self.size = self.left = size
        self._chunks = chunks
        self._came = 0
        self._rest = memoryview(b"")
        self._what = what

    def begin(self) -> None:
        """Waits for the first bytes, so that a thread that waits for its source holds no buffer meanwhile."""
        self._more()

    def fill(self, buffer: bytearray) -> bytearray:
        """Fills `buffer` with the next part, cuts it to the end of the stream, and returns it.

        Raises `StoreError` if the stream does not have `size` bytes, and what the stream raises. The last part is
        returned only after the stream has ended without an error.
        """
        with memoryview(buffer) as view:
            wanted = filled = min(len(buffer), self.left)
            while wanted:
                cut = self._more()[:wanted]
                if not cut:
                    raise self._wrong_size(self._came)
                view[filled - wanted : filled - wanted + len(cut)] = cut
                self._rest = self._rest[len(cut) :]
                wanted -= len(cut)
        self.left -= filled
        if not self.left and self._more():
            raise self._wrong_size(f"{self._came} or more")
        del buffer[filled:]
        return buffer

    def _more(self) -> memoryview:
        """Returns the bytes that have arrived and are in no part yet: none at the end of the stream."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._came += len(chunk)
            self._rest = memoryview(chunk)
        return self._rest

    def _wrong_size(self, came: object) -> StoreError:
        return StoreError(self._what, f"expected {self.size} bytes, got {came}; nothing was written")
