"""Shows an apply under way on stderr: a bar with bytes, rate and time left on a terminal, plain lines off one."""

from __future__ import annotations

import logging
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reconciler.outcome import Done, Failed, Skipped
from reconciler.render import SIGNS, is_held_back
from reconciler.streams import write
from reconciler.words import plain, size_words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from reconciler.outcome import Outcome

LINE_EVERY = 10.0
"""Seconds between two plain lines that say how far the bytes are."""


class LineProgress:
    """Plain lines: one for each tag as it is settled, and one about the bytes every `LINE_EVERY` seconds."""

    def __init__(self, tags: int, out: TextIO) -> None:
        self._tags = tags
        self._out = out
        self._lock = threading.Lock()
        self._reasons: set[str] = set()
        self._wanted = self._copied = self._settled = 0
        self._started = self._told = time.monotonic()

    def wanted(self, size: int) -> None:
        with self._lock:
            self._wanted += size

    def copied(self, size: int) -> None:
        with self._lock:
            self._copied += size
            now = time.monotonic()
            if now - self._told >= LINE_EVERY:
                self._told = now
                rate = self._copied / (now - self._started)
                self._line(
                    f"{size_words(self._copied)} of {size_words(self._wanted)}, {size_words(rate)}/s, "
                    f"{self._settled} of {self._tags} tags"
                )

    def settled(self, outcome: Outcome) -> None:
        with self._lock:
            self._settled += 1
            if isinstance(outcome, Skipped) and is_held_back(outcome):
                if outcome.reason not in self._reasons:
                    self._reasons.add(outcome.reason)
                    self._line(f"! not pruned: {outcome.reason}")
                return
            name = f"{outcome.target}:{outcome.change.tag}"
            if isinstance(outcome, Done):
                self._line(f"{SIGNS[outcome.change.action]} {name}")
            elif isinstance(outcome, Failed):
                self._line(f"! {name}: {outcome.error}")
            else:
                self._line(f"! {name}: skipped: {outcome.reason}")

    def _line(self, text: str) -> None:
        write(self._out, f"{time.strftime('%H:%M:%S')} {plain(text)}\n")


class BarProgress:
    """A bar on a terminal; what came of each tag is told at the end."""

    def __init__(self, tags: int, bar: Bar) -> None:
        self._tags = tags
        self._bar = bar
        self._lock = threading.Lock()
        self._wanted = self._settled = 0
        self._task: TaskID = bar.add_task(self._words(), total=None)

    def wanted(self, size: int) -> None:
        with self._lock:
            self._wanted += size
            self._bar.update(self._task, total=self._wanted)

    def copied(self, size: int) -> None:
        self._bar.advance(self._task, size)

    def settled(self, outcome: Outcome) -> None:
        del outcome
        with self._lock:
            self._settled += 1
            self._bar.update(self._task, description=self._words())

    def _words(self) -> str:
        return f"{self._settled}/{self._tags} tags"


@contextmanager
def shown(tags: int) -> Iterator[BarProgress | LineProgress]:
    """The progress that fits stderr, for a run over so many tags: a bar and a log do not go together."""
    if not sys.stderr.isatty() or logging.getLogger("reconciler").isEnabledFor(logging.INFO):
        yield LineProgress(tags, sys.stderr)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield BarProgress(tags, bar)


@contextmanager
def waiting(words: str) -> Iterator[None]:
    """A sign of life on a terminal while something takes its time."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(words):
        yield
