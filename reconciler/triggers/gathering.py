"""Joins the triggers of a second into one run: a build that pushes twenty tags does not start twenty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

SECONDS = 1.0

Targets = frozenset[str] | None
"""What to run of a file: these targets; None: the whole file."""

Wake = Callable[[str, Targets], None]
"""Is called with a file and what to run of it. Has to return at once."""

Later = Callable[[float, Callable[[], None]], Any]
"""Calls a function after some seconds, on the same thread; e.g. `call_later` of an event loop."""


class Gathering:
    """Calls `wake` for each file, one second after its first trigger. Used by one thread: the event loop's.

    It holds no more than the file's targets, however many triggers there are.
    """

    def __init__(self, wake: Wake) -> None:
        self._wake = wake
        self._waiting: dict[str, Targets] = {}

    def add(self, file: str, targets: Targets, later: Later) -> None:
        """Adds targets of a file, or the whole file."""
        if file in self._waiting:
            self._waiting[file] = _joined(self._waiting[file], targets)
            return
        self._waiting[file] = targets
        later(SECONDS, lambda: self._wake(file, self._waiting.pop(file)))


def _joined(some: Targets, more: Targets) -> Targets:
    return None if some is None or more is None else some | more
