"""Keeps a guard as its file is: a token that was added or revoked there counts at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.access.file import read_hashes
from reconciler.access.judge import Guard
from reconciler.errors import UsageError

if TYPE_CHECKING:
    from reconciler.access.config import Access

logger = logging.getLogger(__name__)


class FileGuard:
    """The guard of a file. Reading it first raises `UsageError` if it is not valid; later that is only logged.

    access  returns what each token may pull; asked anew each time
    """

    def __init__(self, access: Callable[[], Access], path: Path) -> None:
        self._access, self._path = access, path
        self._version = self._current()
        self._content = read_hashes(path)

    def __call__(self) -> Guard:
        version = self._current()
        if version != self._version:
            self._version = version
            try:
                self._content = read_hashes(self._path)
            except UsageError as error:
                logger.warning("%s. The tokens read before still count", error)
        return Guard(self._access(), self._content.hashes, self._content.key.encode())

    @property
    def without_token(self) -> list[str]:
        """The names of mirrors.yaml that cannot log in: the file has no token for them."""
        return sorted(self._access().keys() - self._content.hashes.keys())

    def _current(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
