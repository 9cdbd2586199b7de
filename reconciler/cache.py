"""Remembers results from run to run in the user's cache folder: `r2mirror` in `$XDG_CACHE_HOME` or `~/.cache`.

A result that is not there is worked out again, so every failure here only costs time and is ignored. The folder is used
only if no other user can put an entry in.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reconciler.files import check_regular
from reconciler.frozen import Frozen

_FOLDER = "r2mirror"
_PRIVATE = 0o700


class Cache(Frozen):
    """Entries of one kind.

    kind         what their file names begin with
    entries      how many are kept; the oldest are removed
    entry_bytes  the size of the largest; a larger one is neither kept nor read
    """

    kind: str
    entries: int
    entry_bytes: int

    def get(self, name: str) -> bytes | None:
        """Returns an entry, None if there is none.

        name  a part of a file name, e.g. a digest in hex

        After a power failure an entry may be cut short. The caller checks what it relies on.
        """
        with suppress(OSError), _opened() as folder:
            # O_NONBLOCK: without it, to open a pipe waits for a writer.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            with os.fdopen(os.open(self._file(name), flags, dir_fd=folder), "rb") as file:
                check_regular(file.fileno())
                body = file.read(self.entry_bytes + 1)
                return body if len(body) <= self.entry_bytes else None
        return None

    def put(self, name: str, body: bytes) -> None:
        """Keeps an entry, whole or not at all, and removes the oldest ones beyond the limit."""
        if len(body) > self.entry_bytes:
            return
        with suppress(OSError):
            _create()
            with _opened() as folder:
                self._write(folder, self._file(name), body)
                self._remove_oldest(folder)

    def _file(self, name: str) -> str:
        return f"{self.kind}-{name}"

    def _write(self, folder: int, file: str, body: bytes) -> None:
        # It begins with the kind, so that one which a killed run leaves behind is counted and removed as an entry.
        draft = f"{file}.{os.getpid()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(draft, flags, 0o600, dir_fd=folder), "wb") as output:
            output.write(body)
        os.replace(draft, file, src_dir_fd=folder, dst_dir_fd=folder)

    def _remove_oldest(self, folder: int) -> None:
        files = [file for file in os.listdir(folder) if file.startswith(f"{self.kind}-")]
        if len(files) > self.entries:
            files.sort(key=lambda file: os.stat(file, dir_fd=folder, follow_symlinks=False).st_mtime_ns)
            for file in files[: -self.entries]:
                os.unlink(file, dir_fd=folder)


def _place() -> Path:
    """Names the folder. Raises `FileNotFoundError` if the environment has no absolute path to it."""
    # The base directory specification has relative paths ignored.
    for base in (Path(os.environ.get("XDG_CACHE_HOME", "")), Path(os.environ.get("HOME", "")) / ".cache"):
        if base.is_absolute():
            return base / _FOLDER
    raise FileNotFoundError


def _create() -> None:
    """Creates the folder in a base that belongs to the user: with sudo, HOME may be another user's."""
    place = _place()
    place.parent.mkdir(_PRIVATE, exist_ok=True)
    if place.parent.stat().st_uid == os.geteuid():
        place.mkdir(_PRIVATE, exist_ok=True)


@contextmanager
def _opened() -> Iterator[int]:
    """Opens the folder. Raises `OSError` if it is not there, is a link, or if others own it or may write to it."""
    # All else is done relative to the descriptor: the path could lead elsewhere a moment later.
    folder = os.open(_place(), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        found = os.fstat(folder)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o022:
            raise PermissionError
        yield folder
    finally:
        os.close(folder)
