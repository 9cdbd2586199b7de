"""Edits Dockerfiles and compose files in place. Every file is read before the first is written."""

from __future__ import annotations

import codecs
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING

from reconciler.errors import Problem, UsageError
from reconciler.finding.compose import find_in_compose
from reconciler.finding.dockerfile import find_in_dockerfile
from reconciler.finding.kinds import kind_in, kind_of_file
from reconciler.finding.search import dotenv, files_below
from reconciler.rewrite.edits import Edited, edited

if TYPE_CHECKING:
    from reconciler.rewrite.edits import Find
    from reconciler.rewrite.names import Names

_FINDS = (find_in_dockerfile, find_in_compose)

MAX_BYTES = 2 * 1024 * 1024
"""Bytes of a file. Larger ones are generated."""


def edit_files(paths: Iterable[Path], names: Names) -> list[Edited]:
    """Edits the files, and those in folders, without writing them. Raises `UsageError` for a path that does not exist.

    A file that is named and cannot be edited is one with a problem.
    """
    return [one for path, named in _paths(paths) if (one := _edited(path, names, named=named))]


def write_edited(files: Iterable[Edited]) -> None:
    """Writes the files that changed, each whole or not at all. Raises `UsageError` for one that cannot be written."""
    for one in files:
        if one.edits:
            path = Path(one.file).resolve()
            try:
                _replace(path, _mark(path.read_bytes()) + one.after.encode())
            except OSError as error:
                raise UsageError(f"{one.file}: cannot be written: {error.strerror}") from None


def _paths(paths: Iterable[Path]) -> Iterator[tuple[Path, bool]]:
    for path in dict.fromkeys(paths):
        if path.is_dir():
            yield from ((Path(file), False) for file, _ in files_below(str(path)))
        elif path.is_file():
            yield path, True
        else:
            raise UsageError(f"{path}: is not a file or a folder that exists")


def _edited(path: Path, names: Names, *, named: bool) -> Edited | None:
    file = path.as_posix()
    try:
        text = _text(path)
    except (OSError, ValueError) as error:
        kind = kind_of_file(file)
        if not named and (kind is None or kind.find not in _FINDS):
            return None
        why = error.strerror if isinstance(error, OSError) else str(error)
        return Edited(file, "", "", problems=(Problem(file, 1, 1, "", f"cannot be edited: {why}"),))
    find = _find(text, path)
    if find is None:
        if not named:
            return None
        problem = Problem(file, 1, 1, "", "not a Dockerfile or a compose file; --to and --helm configure other tools")
        return Edited(file, text, text, problems=(problem,))
    return edited(file, text, find, names)


def _text(path: Path) -> str:
    """Reads a text as it is, but for its byte order mark. Raises `OSError`, `ValueError`."""
    with path.open("rb") as opened:
        body = opened.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES // 1024 // 1024} MiB")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text: byte 0x{body[error.start]:02x}") from None


def _find(text: str, path: Path) -> Find | None:
    """Returns what finds the images of a file, None for one that is neither a Dockerfile nor a compose file."""
    file = path.as_posix()
    find = kind_in(text, kind_of_file(file)).find
    if find is find_in_compose:
        return partial(find_in_compose, file=file, values=dotenv(path))
    return partial(find_in_dockerfile, file=file) if find is find_in_dockerfile else None


def _mark(body: bytes) -> bytes:
    return codecs.BOM_UTF8 if body.startswith(codecs.BOM_UTF8) else b""


def _replace(path: Path, body: bytes) -> None:
    # Beside the file, so that the rename stays in its file system.
    descriptor, name = mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
        shutil.copymode(path, name)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
