"""Shows the progress of an apply on stderr: a bar with bytes, rate and names on a terminal, else plain lines.

rich is imported only to draw, as in `render/sheet`.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from reconciler.apply.outcome import Done, Failed, Skipped
from reconciler.cli.log import LogFormat, line, manner, stamp
from reconciler.cli.render.changes import SIGNS
from reconciler.cli.render.outcome import is_held_back
from reconciler.cli.streams import lively, write
from reconciler.cli.waiting import error_console
from reconciler.words import plain, size_words, time_words

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from reconciler.apply.outcome import Outcome

LINE_EVERY = 10.0
"""Seconds between two plain lines about the bytes."""

NAMED = 3
"""How many images under way are named; the others are counted."""

BAR_WIDTH = 24
"""Columns."""


class Progress:
    """Counts how far a run is. Many threads report to it.

    copied_bytes  downloaded so far; less those of a blob that turned out to be wrong
    """

    def __init__(self, tags: int) -> None:
        self.copied_bytes = 0
        self._tags = tags
        self._lock = threading.Lock()
        self._wanted = self._settled = 0
        self._started = time.monotonic()
        self._names: dict[str, None] = {}

    def wanted(self, size: int) -> None:
        with self._lock:
            self._wanted += size
            self._changed()

    def copied(self, size: int) -> None:
        with self._lock:
            self.copied_bytes += size
            self._changed()

    def settled(self, outcome: Outcome) -> None:
        with self._lock:
            self._settled += 1
            self._tell(outcome)
            self._changed()

    @contextmanager
    def under_way(self, name: str) -> Iterator[None]:
        with self._lock:
            self._names[name] = None
            self._changed()
        try:
            yield
        finally:
            with self._lock:
                self._names.pop(name, None)
                self._changed()

    def tags_words(self) -> str:
        return f"{self._settled} of {self._tags} tags"

    def bytes_words(self) -> str:
        rate = self.copied_bytes / max(time.monotonic() - self._started, 0.001)
        return f"{size_words(self.copied_bytes)} of {size_words(self._wanted)}, {size_words(rate)}/s"

    def time_words(self) -> str:
        """Estimates how long the bytes still take that are known so far, at the rate until now."""
        left, passed = self._wanted - self.copied_bytes, time.monotonic() - self._started
        return f"{time_words(left * passed / self.copied_bytes)} left" if left > 0 and self.copied_bytes > 0 else ""

    def names_words(self) -> str:
        """Names the images that have been under way for the longest."""
        # A dict keeps the order in which they began.
        names = list(self._names)
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        return f"{', '.join(names[:NAMED])}{more}"

    def _changed(self) -> None:
        """Called with the lock held when any of these texts may have changed."""

    def _tell(self, outcome: Outcome) -> None:
        """Called with the lock held when a tag is settled."""


class LineProgress(Progress):
    """Plain lines about the bytes every `LINE_EVERY` seconds; with `tells`, one for each tag as it is settled too."""

    def __init__(self, tags: int, out: TextIO, *, tells: bool) -> None:
        super().__init__(tags)
        self._out = out
        self._tells = tells
        self._reasons: set[str] = set()
        self._told = self._started

    def _changed(self) -> None:
        now = time.monotonic()
        if now - self._told >= LINE_EVERY and self._wanted:
            self._told = now
            names = self.names_words()
            self._line(f"{self.bytes_words()}, {self.tags_words()}{f'; under way: {names}' if names else ''}")

    def _tell(self, outcome: Outcome) -> None:
        if not self._tells:
            return
        if isinstance(outcome, Skipped) and is_held_back(outcome):
            if outcome.reason not in self._reasons:
                self._reasons.add(outcome.reason)
                self._line(f"! not pruned: {outcome.reason}")
            return
        name = f"{outcome.target}:{outcome.change.tag}"
        if isinstance(outcome, Done):
            self._line(f"{SIGNS[outcome.change.action]} {name}", outcome)
        elif isinstance(outcome, Failed):
            self._line(f"! {name}: {outcome.error}", outcome, "error")
        else:
            self._line(f"! {name}: skipped: {outcome.reason}", outcome, "warning")

    def _line(self, text: str, about: Outcome | None = None, level: str = "info") -> None:
        if manner().form is LogFormat.JSON:
            line(level, text, **(_fields(about) if about else {}))
        else:
            write(self._out, f"{stamp(self._out)} {plain(text)}\n")


def _fields(outcome: Outcome) -> dict[str, Any]:
    done = outcome.took if isinstance(outcome, Done) else None
    return {
        "repository": outcome.target,
        "tag": outcome.change.tag,
        "action": outcome.change.action.value,
        "digest": str(outcome.change.after.digest) if outcome.change.after else None,
        "bytes": done.size if done else None,
        "seconds": round(done.seconds, 3) if done else None,
    }


class BarProgress(Progress):
    """A bar on a terminal, and below it the names of what is under way."""

    def drawn(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        with self._lock:
            words = f"{self.tags_words()}  {self.bytes_words()}  {self.time_words()}"
            names, wanted, copied = self.names_words(), self._wanted, self.copied_bytes
        row = Table.grid(padding=(0, 2, 0, 0))
        row.add_row(ProgressBar(max(wanted, 1), max(copied, 0), BAR_WIDTH), _one_line(words))
        return Group(row, _one_line(names)) if names else row


def _one_line(words: str) -> Text:
    from rich.text import Text

    return Text(plain(words), no_wrap=True, overflow="ellipsis")


@contextmanager
def shown(tags: int, *, tells: bool) -> Iterator[Progress]:
    """Shows the progress of a run over `tags` tags: lines where stderr is not a terminal, or has a log, else a bar.

    A quiet call shows none. A log in JSON names each tag.

    tells  whether plain lines name each tag too; otherwise the caller does
    """
    in_json = manner().form is LogFormat.JSON
    if manner().quiet:
        yield Progress(tags)
        return
    if in_json or not lively(sys.stderr) or logging.getLogger("reconciler").isEnabledFor(logging.INFO):
        yield LineProgress(tags, sys.stderr, tells=tells or in_json)
        return
    from rich.live import Live

    bar = BarProgress(tags)
    # Results that go to the same terminal meanwhile are printed above the bar.
    above = sys.stdout.isatty()
    with Live(get_renderable=bar.drawn, console=error_console(), transient=True, redirect_stdout=above):
        yield bar
