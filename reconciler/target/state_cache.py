"""Keeps parts of large mirror indexes in the user's cache folder, so that a plan reads only those that have changed.

Nothing depends on it: a folder that cannot be used safely is not used, and every read is verified by its hash.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.files import open_regular

if TYPE_CHECKING:
    from reconciler.oci.spec import Digest

logger = logging.getLogger(__name__)

LIMIT = 512 * 1024 * 1024
"""Bytes that the folder holds at most; the parts that were not used for longest are removed."""


class StateCache:
    """A folder of objects by their hash. `folder`: None if there is none that can be used."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._has_grown = False

    def get(self, digest: Digest) -> bytes | None:
        """Returns the object, or None unless it is there with the right bytes."""
        if self._folder is None:
            return None
        path = self._folder / digest.hex
        try:
            _check_private(self._folder)
            with open_regular(path, follow=False) as file:
                body = file.read(LIMIT + 1)
            os.utime(path)
        except OSError:
            return None
        return body if digest.matches(body) else None

    def put(self, digest: Digest, body: bytes) -> None:
        """Keeps the object, if that is possible."""
        if self._folder is None or len(body) > LIMIT // 4:
            return
        try:
            # Made only now, so that a small mirror leaves nothing behind.
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_private(self._folder)
            handle, name = tempfile.mkstemp(dir=self._folder)
            with os.fdopen(handle, "wb") as file:
                file.write(body)
            Path(name).replace(self._folder / digest.hex)
            self._has_grown = True
        except OSError as error:
            logger.debug("the cache %s cannot be written: %s", self._folder, error)
            self._folder = None

    def trim(self) -> None:
        """Removes the oldest objects beyond `LIMIT`, if any were added."""
        if self._folder is None or not self._has_grown:
            return
        with suppress(OSError), os.scandir(self._folder) as entries:
            found = [(entry.stat(follow_symlinks=False), entry.path) for entry in entries]
            held = sum(status.st_size for status, _ in found)
            for status, path in sorted(found, key=lambda one: one[0].st_mtime):
                if held <= LIMIT:
                    break
                Path(path).unlink(missing_ok=True)
                held -= status.st_size
        self._has_grown = False


def user_cache(environ: Mapping[str, str] = os.environ) -> StateCache:
    """Returns the cache below XDG_CACHE_HOME, or ~/.cache; one that holds nothing if that is not safely ours."""
    base = Path(environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "")) / ".cache")
    if not base.is_absolute():
        return StateCache(None)
    folder = base / "r2mirror" / "state"
    try:
        # A home that does not exist is not made, e.g. /nonexistent; nor is one of another user used, e.g. under sudo.
        if not environ.get("XDG_CACHE_HOME") and not _is_ours(Path(environ["HOME"]).stat()):
            return StateCache(None)
    except OSError:
        return StateCache(None)
    return StateCache(folder)


def _check_private(folder: Path) -> None:
    """Raises `OSError` unless `folder` is there, ours, and closed to others."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or not _is_ours(status) or status.st_mode & 0o077:
        raise OSError(errno.EPERM, "not a folder that only this user can read")


def _is_ours(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid()
