"""Several watched files, each on a thread of its own, so that a slow registry of one holds up no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from reconciler.work.unforeseen import foreseen

if TYPE_CHECKING:
    from reconciler.errors import MirrorError
    from reconciler.watch.inbox import Inbox
    from reconciler.watch.watched_file import WatchedFile

RESERVE = 5.0
"""Seconds of the grace that are left for recording what was done; at most half of it."""


class Group:
    """Runs files until they are stopped, or until one of them ends.

    grace    seconds between `stop` and the end
    crashed  is told what a thread died of: a fault of r2mirror
    """

    def __init__(
        self, files: Sequence[tuple[WatchedFile, Inbox]], grace: float, crashed: Callable[[str, MirrorError], None]
    ) -> None:
        self.is_stopping = False
        self._files, self._grace, self._tell = files, grace, crashed
        self._has_crashed = False
        self._threads: list[threading.Thread] = []

    @property
    def is_at_work(self) -> bool:
        """Whether a file has not ended, even after the grace."""
        return any(thread.is_alive() for thread in self._threads)

    def run_once(self) -> bool:
        """Runs each file once. Returns whether everything was done, or was told to stop."""
        self._start(lambda one: one.run_once)
        while self.is_at_work and not self.is_stopping:
            self._wait(0.2)
        self._wait(self._grace)
        failed = self._has_crashed or any(one.status.failures or one.status.error for one, _ in self._files)
        return self.is_stopping or not failed

    def run(self, max_failures: int | None = None) -> bool:
        """Runs until it is stopped. Returns False if a file ended by itself, after `max_failures` runs in a row."""
        self._start(lambda one: partial(one.run, max_failures))
        while all(thread.is_alive() for thread in self._threads) and not self.is_stopping:
            self._wait(0.2)
        was_stopped = self.is_stopping
        self.stop()
        self._wait(self._grace)
        return was_stopped and not self._has_crashed

    def stop(self) -> None:
        """Begins nothing more. May be called by a signal handler."""
        self.is_stopping = True
        for _, inbox in self._files:
            inbox.stop(self._grace - min(RESERVE, self._grace / 2))

    def reload(self) -> None:
        """Reads all files anew. May be called by a signal handler."""
        for _, inbox in self._files:
            inbox.reload()

    def _start(self, work_of: Callable[[WatchedFile], Callable[[], None]]) -> None:
        self._threads = [
            threading.Thread(target=self._guarded, args=(one, work_of(one)), name=one.status.file, daemon=True)
            for one, _ in self._files
        ]
        for thread in self._threads:
            thread.start()

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _guarded(self, file: WatchedFile, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 a thread that dies unseen would leave its file unwatched
            self._has_crashed = True
            self._tell(file.status.file, foreseen(file.status.file, error))
