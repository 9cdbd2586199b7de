"""Keeps the guard of `serve --access` as its file is: a token that was added or revoked there counts at once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.access.file import read_hashes
from reconciler.access.judge import Guard
from reconciler.errors import UsageError

if TYPE_CHECKING:
    from reconciler.access.config import Access

logger = logging.getLogger(__name__)


class FileGuard:
    """The guard of a file. Reading it first raises `UsageError` if it is not valid; later that is only logged."""

    def __init__(self, access: Access, path: Path) -> None:
        self._access, self._path = access, path
        self._version = self._current()
        self._guard = self._read()

    def __call__(self) -> Guard:
        version = self._current()
        if version != self._version:
            self._version = version
            try:
                self._guard = self._read()
            except UsageError as error:
                logger.warning("%s. The tokens read before still count", error)
        return self._guard

    @property
    def without_token(self) -> list[str]:
        """The names of mirrors.yaml that cannot log in: the file has no token for them."""
        return sorted(self._access.keys() - self._guard.hashes.keys())

    def _read(self) -> Guard:
        content = read_hashes(self._path)
        return Guard(self._access, content.hashes, content.key.encode())

    def _current(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
