"""Writes the program's own log to stderr: lines for people, or JSON objects for programs."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TextIO

from reconciler.cli.streams import write
from reconciler.frozen import Frozen
from reconciler.words import plain, plain_lines

FIELDS = ("repository", "tag", "digest", "host", "status", "bytes", "seconds")
"""What a record of the log may carry besides its message, by `extra`."""


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class Manner(Frozen):
    """How this call writes to stderr.

    verbose  how often `-v` was given
    quiet    whether notes, progress and results without news are left out
    form     the format of the lines
    shown    whether stdout has something of a result
    """

    verbose: int = 0
    quiet: bool = False
    form: LogFormat = LogFormat.TEXT
    shown: bool = False


_now = Manner()


def manner() -> Manner:
    """Returns how this call writes to stderr."""
    return _now


@contextmanager
def for_call(form: LogFormat = LogFormat.TEXT) -> Iterator[None]:
    """Gives a call a manner of its own. Nothing of it is left to later calls in this process."""
    global _now  # noqa: PLW0603 one call of the program, one manner
    before, _now = _now, Manner(form=form)
    try:
        yield
    finally:
        _now = before


def log_by(wanted: int) -> int:
    """Turns on the program's own log: actions with `-v`, requests too with `-vv`. Libraries stay silent.

    Warnings are always printed. Returns how often `-v` was given, before and after the command.
    """
    _tell(verbose=max(wanted, _now.verbose))
    if _now.verbose:
        log_from(logging.INFO if _now.verbose == 1 else logging.DEBUG)
    elif logging.lastResort:
        logging.lastResort.setFormatter(_Plain("warning: %(message)s"))
    return _now.verbose


def quieten(wanted: bool) -> bool:  # noqa: FBT001 typer calls it so
    """Leaves out notes, progress, and results without news."""
    _tell(quiet=wanted or _now.quiet)
    return _now.quiet


def result_shown() -> None:
    """Notes that stdout has something of a result, so that an error document would not be alone there."""
    _tell(shown=True)


def log_from(level: int) -> None:
    """Prints the program's own log to stderr from `level` on. A second call changes nothing."""
    if not logging.getLogger().hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(_Plain("%(asctime)s %(name)s: %(message)s"))
        logging.basicConfig(handlers=[handler])
        logging.getLogger("reconciler").setLevel(level)


def entry(level: str, message: str, **fields: Any) -> str:
    """Writes one line of the log in JSON; a field that is None is left out."""
    known = {name: value for name, value in fields.items() if value is not None}
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    text = json.dumps({"time": moment, "level": level, "message": message, **known}, default=str)
    # A CI system reads `##[` as a command; in JSON the bracket can be written as an escape.
    return text.replace("##[", "##\\u005b") + "\n"


def line(level: str, message: str, **fields: Any) -> None:
    """Prints one line of the log in JSON on stderr."""
    write(sys.stderr, entry(level, message, **fields))


def stamp(stream: TextIO, *, fine: bool = False) -> str:
    """Writes the time: of the day for people at a terminal, else with date and zone (ISO 8601)."""
    now = datetime.now().astimezone()
    spec = "milliseconds" if fine else "seconds"
    return now.time().isoformat(spec) if stream.isatty() else now.isoformat(timespec=spec)


def _tell(**changed: Any) -> None:
    global _now  # noqa: PLW0603 as above
    _now = replace(_now, **changed)


class _Plain(logging.Formatter):
    """Formats a message as one line, from which text from outside cannot move the cursor; a traceback goes below."""

    def format(self, record: logging.LogRecord) -> str:
        if _now.form is LogFormat.JSON:
            return _entry_of(record).rstrip("\n")
        return super().format(record)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 logging's name
        return stamp(sys.stderr, fine=True)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 logging's name
        return plain(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 logging's name
        return plain_lines(super().formatException(ei))


def _entry_of(record: logging.LogRecord) -> str:
    fields = {name: getattr(record, name, None) for name in FIELDS}
    trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else None
    return entry(record.levelname.lower(), record.getMessage(), logger=record.name, **fields, traceback=trace)
