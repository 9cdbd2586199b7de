"""Creates files that must not exist yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from reconciler.errors import UsageError


def check_absent(paths: Iterable[Path]) -> None:
    """Raises `UsageError`, which names each file that exists already."""
    there = [str(path) for path in paths if path.exists() or path.is_symlink()]
    if there:
        verb = "exists" if len(there) == 1 else "exist"
        raise UsageError(f"{', '.join(there)} {verb} already, and nothing is overwritten; no file was written")


def create(texts: Mapping[Path, str]) -> None:
    """Writes files, or none of them. Raises `UsageError`, which names each one that exists already."""
    check_absent(texts)
    made: list[Path] = []
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                made.append(path)
                file.write(text)
        except OSError as error:
            for one in made:
                one.unlink(missing_ok=True)
            raise UsageError(f"{path}: cannot be written: {error.strerror}; no file was written") from None
