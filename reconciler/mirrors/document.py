"""A file with its values, the places where they are written and the problems found in it; and how such a file is read.

`parse` makes a document of the text.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from reconciler.errors import MirrorsInvalid, Problem
from reconciler.frozen import Frozen

KeyPath: TypeAlias = "tuple[str | int, ...]"
"""Where a value is in the file: keys and positions from the top, e.g. `("mirrors", 0, "tags")`."""

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_NODES = 20_000
"""The parser takes about four seconds a megabyte. A mirror has some 200 bytes and 20 values."""


class Bounds(Frozen):
    """What a file may hold.

    size   bytes
    nodes  values, each counted as often as it is used
    ours   whether it is in our own format, which has no merge keys and no text of several lines
    """

    size: int = MAX_BYTES
    nodes: int = MAX_NODES
    ours: bool = True


LOCK_SUFFIX = ".lock"
"""The ending of a lockfile, which is beside its mirrors file and has its name."""

STDIN = Path("-")
"""Stands for a file that is read from stdin. Relative paths in it start in the working directory."""


class Written(Frozen):
    """Where a value and its key are written, and the text of a scalar.

    line, column          of the value, counted from 1
    key_line, key_column  of its key; for a value without a key, of the value
    text                  as it is written, e.g. `1.20` for the number 1.2
    """

    line: int
    column: int
    key_line: int
    key_column: int
    text: str


@dataclass
class Document:
    """A parsed file, and the problems found in it so far. `written` has an entry for every value in it.

    top       the file that includes this one, None if none does
    conforms  whether it is known to conform to its schema
    """

    file: str
    body: bytes
    value: Any = None
    top: Document | None = None
    written: dict[KeyPath, Written] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    conforms: bool = False
    _broken: set[KeyPath] = field(default_factory=set)
    _around: set[KeyPath] = field(default_factory=set)

    def problem(self, place: KeyPath, message: str, *, at_key: bool = False) -> None:
        """Records a problem with the value at `place`, in the line of the nearest value around it."""
        near = place
        while near and near not in self.written:
            near = near[:-1]
        written = self.written.get(near, Written(1, 1, 1, 1, ""))
        line, column = (written.key_line, written.key_column) if at_key else (written.line, written.column)
        self.note(place, line, column, message)

    def note(self, place: KeyPath, line: int, column: int, message: str) -> None:
        """Records a problem with the value at `place`, which is written at this line and column."""
        self.problems.append(Problem(self.file, line, column, spell(place), message))
        self._broken.add(place)
        # Kept beside `problems`, so that `wrong` does not search them all for one inside its place.
        self._around.update(place[:length] for length in range(len(place)))

    def spoiled(self, place: KeyPath) -> bool:
        """Returns whether there is a problem with the value at `place` as a whole, or with one around it."""
        return any(place[:length] in self._broken for length in range(len(place) + 1))

    def wrong(self, place: KeyPath) -> bool:
        """Returns whether there is a problem with the value at `place`, with one around it or with one inside it."""
        return place in self._around or self.spoiled(place)

    def line_of(self, place: KeyPath, seen_from: Document) -> str:
        """Says where the value at `place` is written, e.g. `line 7`; with its file, if that is not `seen_from`."""
        line = f"line {self.written[place].line}"
        return line if seen_from is self else f"{line} of {self.file}"

    def sound(self, place: KeyPath) -> dict[str, Any]:
        """Returns the mapping at `place` without its spoiled values, an empty one if there is none."""
        if place not in self.written or self.spoiled(place):
            return {}
        value = self.value
        for step in place:
            value = value[step]
        if not isinstance(value, dict):
            return {}
        return {key: inner for key, inner in value.items() if not self.spoiled((*place, key))}


def spell(place: KeyPath) -> str:
    """Spells a place for messages, e.g. `mirrors[0].tags[4].semver`."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{step[:90]}" if text else step[:90]
    return text


def file_name(path: Path) -> str:
    """Returns the name of a mirrors file for messages."""
    return "stdin" if path == STDIN else str(path)


def opened(path: Path) -> AbstractContextManager[BinaryIO]:
    """Opens a file that the user names, which may be stdin or a pipe."""
    return path.open("rb") if path != STDIN else nullcontext(sys.stdin.buffer)


class Advice(Frozen):
    """What to do about a file that does not exist, and about one that is too large."""

    missing: str = "; name another one with -f, or write it (docs/mirrors.md)"
    large: str = "replace lists of tags with patterns, or split the file (docs/mirrors.md, Several files, one bucket)"


def read_body(
    path: Path,
    name: str,
    opened: Callable[[Path], AbstractContextManager[BinaryIO]] = opened,
    most: int = MAX_BYTES,
    advice: Advice = Advice(),  # noqa: B008 it is frozen
) -> bytes:
    """Reads a file, which messages call `name`. Raises `MirrorsInvalid` if it is too large or cannot be read."""
    try:
        with opened(path) as file:
            body = file.read(most + 1)
    except FileNotFoundError:
        raise fatal(name, f"does not exist{advice.missing}") from None
    except OSError as error:
        raise fatal(name, f"cannot be read: {error.strerror}") from None
    if len(body) > most:
        raise fatal(name, f"larger than {most // 1024} KiB; {advice.large}")
    return body


def decode(body: bytes, file: str) -> str:
    """Decodes the text of a file. Raises `MirrorsInvalid` for one that is not UTF-8."""
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise fatal(file, "the text is UTF-16; save it as UTF-8")
    if body.startswith(b"\xef\xbb\xbf"):
        raise fatal(file, "the file begins with a byte order mark; save it as UTF-8 without one")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise fatal(file, f"not UTF-8 text: byte 0x{body[error.start]:02x}", line) from None
    # The parser would refuse it too, but without a line.
    if "\0" in text:
        raise fatal(file, "not text: it contains a NUL byte", text.count("\n", 0, text.index("\0")) + 1)
    return text


def fatal(file: str, message: str, line: int = 1, column: int = 1) -> MirrorsInvalid:
    """Returns the error for a file of which nothing can be read."""
    return MirrorsInvalid((Problem(file, line, column, "", message),))
