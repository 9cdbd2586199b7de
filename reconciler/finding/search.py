"""Searches files and folders for images. Files whose names tell of none, binary and large ones are passed over."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import Problem, UsageError
from reconciler.finding.dotenv import parse_dotenv
from reconciler.finding.found import Found, Unresolved
from reconciler.finding.kinds import find_in_text, kind_of_file
from reconciler.frozen import Frozen
from reconciler.mirrors.document import STDIN

if TYPE_CHECKING:
    from reconciler.finding.found import Item
    from reconciler.finding.kinds import Kind

MAX_BYTES = 2 * 1024 * 1024
"""Bytes of a file in a folder. Larger ones are generated."""

MAX_NAMED_BYTES = 64 * 1024 * 1024
"""Bytes of stdin, or of a file that is named: a list of a whole cluster."""

MAX_ENV_BYTES = 64 * 1024

MAX_FILES = 1_000_000

LEFT_OUT = frozenset((".git", ".hg", ".svn", "node_modules", ".venv", "venv", "__pycache__", ".terraform", ".tox"))
"""Folders of tools, whose content is not the project's."""


class Search(Frozen):
    """What was found, each in the order of files and lines.

    problems  files, or parts of them, that cannot be read
    files     how many were read
    """

    found: tuple[Found, ...]
    unresolved: tuple[Unresolved, ...] = ()
    problems: tuple[Problem, ...] = ()
    files: int = 0


def search(paths: Iterable[Path], *, env: bool = False) -> Search:
    """Searches files, folders with all that is below them, and stdin (`-`).

    env  whether values of environment variables and arguments in manifests are searched, too

    Raises `UsageError` for a path that does not exist.
    """
    items: set[Item] = set()
    files = 0
    for path, kind, most in _files(paths):
        files += 1
        items.update(_in_file(path, kind, most, env=env))
    return Search(
        tuple(sorted(one for one in items if isinstance(one, Found))),
        tuple(sorted(one for one in items if isinstance(one, Unresolved))),
        tuple(sorted(one for one in items if isinstance(one, Problem))),
        files,
    )


def _files(paths: Iterable[Path]) -> Iterator[tuple[Path, Kind | None, int]]:
    """Yields the files to read, each with what its path tells of its kind, and the most bytes to read."""
    for path in dict.fromkeys(paths):
        if path == STDIN:
            yield path, None, MAX_NAMED_BYTES
        elif path.is_dir():
            yield from ((Path(file), kind, MAX_BYTES) for file, kind in files_below(str(path)))
        elif path.exists():
            yield path, kind_of_file(_spelled(path)), MAX_NAMED_BYTES
        else:
            raise UsageError(f"{path}: does not exist; name a file, a folder, or - for stdin")


def files_below(folder: str) -> Iterator[tuple[str, Kind]]:
    """Yields the files to search in a folder, each with its kind. Raises `UsageError` if there are too many."""
    # Not Path.walk, which needs Python 3.12. Links are not followed: they may go in a circle.
    count = 0
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT)
        for name in sorted(names):
            file = os.path.join(parent, name)  # noqa: PTH118 a Path for each of 100,000 files takes as long as reading them
            kind = kind_of_file(file.replace(os.sep, "/"))
            if kind:
                count += 1
                if count > MAX_FILES:
                    raise UsageError(f"{folder}: has more than {MAX_FILES} files to search; name its folders")
                yield file.removeprefix("./"), kind


def _spelled(path: Path) -> str:
    return path.as_posix()


def _in_file(path: Path, kind: Kind | None, most: int, *, env: bool) -> Iterable[Item]:
    file = "stdin" if path == STDIN else _spelled(path)
    try:
        body = _read(path, most)
    except OSError as error:
        return (Problem(file, 1, 1, "", f"cannot be read: {error.strerror}"),)
    if len(body) > most:
        return (Problem(file, 1, 1, "", f"larger than {most // 1024 // 1024} MiB, so it is not searched"),)
    if b"\0" in body:
        return () if path != STDIN else (Problem(file, 1, 1, "", "not text: it contains a NUL byte"),)
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        return (Problem(file, line, 1, "", f"not UTF-8 text: byte 0x{body[error.start]:02x}"),)
    return find_in_text(text, file, kind, env=env, values=lambda: dotenv(path))


def dotenv(path: Path) -> Mapping[str, str]:
    """Returns the variables that compose has for a file, apart from those of its environment; none for stdin."""
    try:
        body = _read(path.with_name(".env"), MAX_ENV_BYTES) if path != STDIN else b""
    except OSError:
        return {}
    return parse_dotenv(body.decode("utf-8-sig", "replace")) if len(body) <= MAX_ENV_BYTES else {}


def _read(path: Path, most: int) -> bytes:
    if path != STDIN and not path.is_file():
        return b""  # A pipe or a device, which may never end.
    with path.open("rb") if path != STDIN else nullcontext(sys.stdin.buffer) as file:
        return file.read(most + 1)
