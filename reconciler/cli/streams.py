"""stdin, stdout and stderr as they may be: closed, full, without a reader, of another encoding, a terminal or none."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from reconciler.words import painted_lines, plain_lines

if TYPE_CHECKING:
    from typing_extensions import Buffer

_DUMB = ("dumb", "unknown")


class _Forgiving(io.FileIO):
    """What cannot be written to it is lost and ends nothing."""

    def write(self, data: Buffer) -> int:
        with suppress(OSError):
            return super().write(data) or len(memoryview(data))
        return len(memoryview(data))


def open_streams() -> None:
    """Makes the three streams such that every command can use them without a thought.

    A closed one reads and writes nothing. A message to stderr that cannot be written does not stop an apply. A
    letter that the encoding does not have becomes a question mark.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, closefd=False))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    if isinstance(sys.stderr, io.TextIOWrapper):
        forgiving = io.BufferedWriter(_Forgiving(sys.stderr.fileno(), "w", closefd=False))
        encoding = sys.stderr.encoding
        sys.stderr = io.TextIOWrapper(forgiving, encoding, errors="backslashreplace", line_buffering=True)


def let_go() -> None:
    """Ends stdout: what it still holds and cannot be written would be a second complaint when the process ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def lively(stream: TextIO) -> bool:
    """Whether `stream` is a terminal on which a line can be drawn anew."""
    return stream.isatty() and os.environ.get("TERM") not in _DUMB


def colored(stream: TextIO) -> bool:
    """Whether `stream` wants colors: NO_COLOR and FORCE_COLOR decide, and else what it is."""
    if os.environ.get("NO_COLOR"):
        return False
    return os.environ.get("FORCE_COLOR", "0") not in ("", "0") or lively(stream)


def write(stream: TextIO, text: str) -> None:
    """The one way out: printable lines, with colors where `stream` wants them, and nothing else."""
    stream.write(painted_lines(text) if colored(stream) else plain_lines(text))
    stream.flush()
