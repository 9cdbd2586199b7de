"""A folder whose disk fills up at any write: it stays whole, and the next run with room completes it."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import MirrorError
from reconciler.stores import folder
from reconciler.stores.folder import FolderStore
from reconciler.target.index_json import parse
from reconciler.target.layout import LOCK, MIRROR_INDEX, PAGE, ROOTS
from reconciler.target.lock import break_lock, read_lock
from tests.bench import shown
from tests.parts.runs import AFTER, BEFORE, run
from tests.world import from_folder, walk

if TYPE_CHECKING:
    from io import FileIO


class Disk:
    """Has room for `left` writes; None: for all."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.writes = 0
        self._write = folder._write

    def write(self, file: FileIO, chunk: bytes) -> None:
        self.writes += 1
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
        self._write(file, chunk)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(folder, "_write", disk.write)
    monkeypatch.setattr("os.fsync", lambda _: None)
    return disk


def content(root: Path) -> dict[str, object]:
    read = from_folder(root)
    keys = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
    found: dict[str, object] = {key: read(key) for key in keys if not key.startswith((".r2mirror", ROOTS))}
    found[MIRROR_INDEX] = {
        target: ({tag: one.digest for tag, one in state.tags.items()}, set(state.retired), state.pending)
        for target, state in parse(read(MIRROR_INDEX), "it").repositories.items()
    }
    found[PAGE] = shown(read(PAGE))
    return found


@pytest.mark.slow
def test_full_from_any_write_on(tmp_path: Path, disk: Disk) -> None:
    clean = FolderStore(tmp_path / "clean")
    run(clean, BEFORE)
    disk.writes = 0
    run(clean, AFTER)
    points = disk.writes
    assert points > 15
    for at in range(points):
        root = tmp_path / str(at)
        store = FolderStore(root)
        disk.left = None
        run(store, BEFORE)
        disk.left = at
        try:
            errors = [event.error for event in run(store, AFTER) if hasattr(event, "error")]
        except MirrorError as error:
            errors = [str(error)]
        # Which of two repositories gets a blob first is up to the threads, and a link to it takes no write.
        assert errors or disk.left >= 0, at
        assert all("No space left on device; free some space" in error and str(root) in error for error in errors)
        for path in root.glob("v2/*/manifests/*"):
            walk(from_folder(root), path.parts[-3], path.name)
        assert list((root / ".r2mirror" / "tmp").iterdir()) == []
        disk.left = None
        holder = read_lock(store)
        if holder and not holder.has_run_out:
            break_lock(store, holder)
        run(store, AFTER)
        assert content(root) == content(tmp_path / "clean")
        assert not (root / LOCK).exists()
