"""Writes the program's own log to stderr."""

from __future__ import annotations

import logging
from typing import Any

from reconciler.words import plain, plain_lines


class _Plain(logging.Formatter):
    """Formats a message as one line, from which text from outside cannot move the cursor; a traceback goes below."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 logging's name
        return plain(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 logging's name
        return plain_lines(super().formatException(ei))


def log_by(wanted: int) -> int:
    """Turns on the program's own log: actions with `-v`, requests too with `-vv`. Libraries stay silent.

    Warnings are always printed, by Python's handler of last resort.
    """
    if wanted:
        log_from(logging.INFO if wanted == 1 else logging.DEBUG)
    elif logging.lastResort:
        logging.lastResort.setFormatter(_Plain("warning: %(message)s"))
    return wanted


def log_from(level: int) -> None:
    """Prints the program's own log to stderr from `level` on. A second call changes nothing."""
    if not logging.getLogger().hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(_Plain("%(asctime)s.%(msecs)03d %(name)s: %(message)s", "%H:%M:%S"))
        logging.basicConfig(handlers=[handler])
        logging.getLogger("reconciler").setLevel(level)
