"""Shows on a terminal that the program is at work."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reconciler.cli.log import LogFormat, manner
from reconciler.cli.streams import colored, lively, write
from reconciler.words import plain

if TYPE_CHECKING:
    from rich.console import Console


@contextmanager
def waiting(words: str) -> Iterator[None]:
    """Shows what the program is at, on a terminal, while something takes its time. rich is imported only to draw."""
    if manner().quiet or manner().form is LogFormat.JSON:
        yield
        return
    if not lively(sys.stderr):
        if sys.stderr.isatty():
            write(sys.stderr, f"{plain(words)}\n")
        yield
        return
    with error_console().status(words):
        yield


def error_console() -> Console:
    """Returns what draws on stderr."""
    from rich.console import Console

    return Console(stderr=True, no_color=not colored(sys.stderr))
