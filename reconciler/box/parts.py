"""Reads and writes the bytes of a box in one file, or in parts: `BOX.tar.001`, `BOX.tar.002` and so on.

The parts are the bytes of the box cut at a size, so that `cat` makes one file of them again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from reconciler.errors import BoxInvalid, UsageError
from reconciler.files import open_regular
from reconciler.frozen import Frozen

if TYPE_CHECKING:
    from types import TracebackType

CHUNK = 1024 * 1024
MAX_PARTS = 999
_FIRST = ".001"


class _Part(Frozen):
    file: BinaryIO
    path: Path
    start: int
    size: int


class PartsReader:
    """The bytes of the files `paths` in a row. Many threads may read at once; close it when done."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._open = ExitStack()
        self._parts: list[_Part] = []
        self.size = 0
        with ExitStack() as opened:
            for path in paths:
                file = opened.enter_context(_opened(path))
                self._parts.append(_Part(file, path, self.size, os.fstat(file.fileno()).st_size))
                self.size += self._parts[-1].size
            self._open = opened.pop_all()

    @property
    def name(self) -> str:
        return str(self._parts[0].path)

    def close(self) -> None:
        self._open.close()

    def where(self, offset: int) -> str:
        """Names the file that has this byte, for messages."""
        found = next((part for part in self._parts if offset < part.start + part.size), self._parts[-1])
        return str(found.path)

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        """Reads a range in chunks. Raises `BoxInvalid` if it is not there, or cannot be read."""
        end = offset + length
        for part in self._parts:
            while part.start <= offset < min(end, part.start + part.size):
                wanted = min(CHUNK, end - offset, part.start + part.size - offset)
                chunk = _read(part, offset - part.start, wanted)
                offset += len(chunk)
                yield chunk
        if offset < end:
            raise BoxInvalid(self.name, f"is cut off: it ends after {self.size} bytes; copy it again, with all parts")

    def whole(self, offset: int, length: int) -> bytes:
        """Reads a short range."""
        return b"".join(self.read(offset, length))


def _opened(path: Path) -> BinaryIO:
    try:
        return open_regular(path, follow=True)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; name a box that `r2mirror export` wrote") from None


def _read(part: _Part, offset: int, wanted: int) -> bytes:
    try:
        chunk = os.pread(part.file.fileno(), wanted, offset)
    except OSError as error:
        raise BoxInvalid(str(part.path), f"cannot be read: {error.strerror}") from None
    if not chunk:
        raise BoxInvalid(str(part.path), "has become shorter while it was read")
    return chunk


def found(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Returns the files of a box: those named, or the parts `BOX.tar.001` ... of a single one that was split.

    A single one is named without a number, or by its first part.

    Raises `UsageError` if there are both, and the parts are not those of the file.
    """
    if len(paths) != 1:
        return tuple(paths)
    if paths[0].suffix == _FIRST:
        return _parts(paths[0].with_suffix("")) or tuple(paths)
    parts = _parts(paths[0])
    if not paths[0].exists():
        return parts or tuple(paths)
    # `cat` may have made one of the parts; otherwise they are those of another export.
    if parts and sum(part.stat().st_size for part in parts) != paths[0].stat().st_size:
        why = f"there is {parts[0]} of another box as well; remove the one that is not meant"
        raise UsageError(f"{paths[0]}: {why}")
    return tuple(paths)


def files_of(path: Path) -> tuple[Path, ...]:
    """Lists all files that there are of a box with this name: the whole one, and parts."""
    return (*([path] if path.exists() else []), *_parts(path))


def _parts(path: Path) -> tuple[Path, ...]:
    parts = []
    for number in range(1, MAX_PARTS + 1):
        part = part_path(path, number)
        if not part.exists():
            break
        parts.append(part)
    return tuple(parts)


def part_path(path: Path, number: int) -> Path:
    """Returns the path of a part; the first has the number 1."""
    return path.with_name(f"{path.name}.{number:03}")


class PartsWriter:
    """Writes a box of `total` bytes. Its files appear under their names when all of them are complete.

    split  bytes of a part at most; None: one file

    Used as a context, at whose end they appear; an error removes them.
    """

    def __init__(self, path: Path, total: int, split: int | None) -> None:
        self._limit = split if split and split < total else total
        count = -(-total // self._limit)
        if count > MAX_PARTS:
            raise UsageError(f"--split: the box has {total} bytes, which makes {count} parts; allow larger ones")
        self.paths = (path,) if count == 1 else tuple(part_path(path, number) for number in range(1, count + 1))
        self._written = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def write(self, chunk: bytes) -> None:
        """Appends bytes. Raises `UsageError` if they cannot be written."""
        rest = memoryview(chunk)
        try:
            while rest:
                into = self._written % self._limit
                if self._file is None or (into == 0 and self._written):
                    self._next()
                assert self._file
                piece = rest[: self._limit - into]
                self._file.write(piece)
                self._written += len(piece)
                rest = rest[len(piece) :]
        except OSError as error:
            raise _not_written(self.paths[0], error) from None

    def _next(self) -> None:
        self._close()
        self._file = _unfinished(self.paths[self._written // self._limit]).open("wb")

    def _close(self) -> None:
        if self._file:
            with self._file:
                self._file.flush()
                os.fsync(self._file.fileno())
            self._file = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._close()
            if kind is None:
                for path in self.paths:
                    _unfinished(path).replace(path)
        except OSError as failure:
            raise _not_written(self.paths[0], failure) from None
        finally:
            for path in self.paths:
                with suppress(OSError):
                    _unfinished(path).unlink()


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _not_written(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path}: the box cannot be written there: {error.strerror}")
