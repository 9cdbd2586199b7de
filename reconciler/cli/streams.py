"""Copes with stdin, stdout and stderr that are closed, full, without a reader, or of another encoding."""

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
    """A file that loses what it cannot write, instead of raising."""

    def write(self, data: Buffer) -> int:
        with suppress(OSError):
            return super().write(data) or len(memoryview(data))
        return len(memoryview(data))


def open_streams() -> None:
    """Replaces streams that would raise, so that no command has to check.

    A closed stream reads and writes nothing. A message that cannot be written to stderr does not stop an apply. A
    character that the encoding lacks becomes a question mark on stdout, an escape on stderr.
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
    """Flushes stdout. Where that fails, the rest goes nowhere: Python would complain of it again when it exits."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def lively(stream: TextIO) -> bool:
    """Whether `stream` is a terminal on which a line can be redrawn."""
    return stream.isatty() and os.environ.get("TERM") not in _DUMB


def colored(stream: TextIO) -> bool:
    """Whether to write colors to `stream`: as NO_COLOR or FORCE_COLOR says, else if it is a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    return os.environ.get("FORCE_COLOR", "0") not in ("", "0") or lively(stream)


def write_command(stream: TextIO, line: str) -> None:
    """Writes a command to a CI system, whose parts are escaped. `write` would break it up."""
    stream.write(line + "\n")
    stream.flush()


def write(stream: TextIO, text: str) -> None:
    """Writes printable lines, with colors where `stream` takes them. All other output goes through here."""
    stream.write(painted_lines(text) if colored(stream) else plain_lines(text))
    stream.flush()
