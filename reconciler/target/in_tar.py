"""A target that is one file, the tar of an OCI image layout, e.g. for `podman pull oci-archive:` and `docker load`.

    PATH         what clients read; written anew, and renamed into place, once a run has changed something
    PATH.d/      the layout that it is packed from, with the mirror index, its history and the lock

The folder is the target, and what a run reads and writes. The file holds what its index.json refers to, and nothing of
r2mirror's own. Before anything changes in the folder, the note that the file is up to date is removed: whenever a run
ends, or is killed, a file without this note is packed again by the next one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.stores.folder import FolderStore
from reconciler.target.in_layout import INDEX, InLayout
from reconciler.target.tar_contents import tar_chunks

if TYPE_CHECKING:
    from reconciler.stores.image_layout import LayoutStore

logger = logging.getLogger(__name__)

_FORM = 1
"""To be raised when the same layout gives another tar, so that those of earlier releases are packed again."""


def open_in_tar(config: LayoutStore) -> InTar:
    """Opens a tar, which need not exist yet."""
    folder = FolderStore(config.folder)
    note = config.folder / ".r2mirror/packed.json"
    target = InTar(f"oci:{config.path}", folder, folder, tar=config.path, folder=folder, note=note)
    return target.guarded(lambda: None)


class InTar(InLayout):
    """A layout that is packed into `tar`. `note` is the file that says which tar has what the layout holds."""

    tar: Path = field(kw_only=True)
    folder: FolderStore = field(kw_only=True, compare=False)
    note: Path = field(kw_only=True)

    @property
    def file(self) -> str:
        return self.tar.name

    def guarded(self, check: Callable[[], None]) -> InTar:
        def checked() -> None:
            check()
            self.forget()

        return replace(self, store=self.store.guarded(checked))

    def is_packed(self) -> bool:
        stored = self.store.get(INDEX)
        return stored is None or self._noted() == self._note_of(stored.body)

    def pack(self, check: Callable[[], None]) -> None:
        if self.is_packed():
            return
        self.folder.guarded(check).write_outside(self.tar, tar_chunks(self.entries(), self.store))
        stored = self.store.get(INDEX)
        note = self._note_of(stored.body) if stored else None
        if note:
            self.folder.write_outside(self.note, [note])
        logger.info("packed %s", self.tar)

    def damage(self) -> str | None:
        if self.store.get(INDEX) is None:
            return None
        at = 0
        with self.folder.reading_outside(self.tar) as file:
            for chunk in tar_chunks(self.entries(), self.store):
                if file.read(len(chunk)) != chunk:
                    return f"differs from {self.folder.name} in its bytes {at} to {at + len(chunk) - 1}"
                at += len(chunk)
            return f"has more than the {at} bytes that were packed" if file.read(1) else None

    def forget(self) -> None:
        if self.note.exists():
            self.note.unlink(missing_ok=True)
            # Before the change that follows is on disk, for a power cut may undo either.
            descriptor = os.open(self.note.parent, os.O_RDONLY | os.O_DIRECTORY)
            os.fsync(descriptor)
            os.close(descriptor)

    def _note_of(self, index: bytes) -> bytes | None:
        """What the note has to be for this index.json and the tar as it is there; None if there is none."""
        try:
            found = self.tar.stat()
        except OSError:
            return None
        return json.dumps([_FORM, hashlib.sha256(index).hexdigest(), found.st_size, found.st_mtime_ns]).encode()

    def _noted(self) -> bytes:
        try:
            return self.note.read_bytes()
        except OSError:
            return b""
