"""One watched file: reads it anew after edits, runs what is due, and waits.

Everything it needs from outside is a parameter, so that tests run it by a clock of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from reconciler.errors import MirrorsInvalid, UsageError
from reconciler.mirrors.files import hash_of_files
from reconciler.watch.status import Status
from reconciler.watch.timetable import Timetable

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.watch.inbox import Clock, Inbox
    from reconciler.watch.report import Held, Report
    from reconciler.work.deadline import Deadline

POLL = 5.0
"""Seconds between two looks at the file: a hash of it, since a ConfigMap is replaced by changing a link."""

SETTLED = 1.0
"""Seconds for which an edited file must not change before it is read: an editor may be writing it."""

LOOK_EVERY = 5.0
"""Seconds between two reads of a lock that another run holds."""


class Runs(Protocol):
    """Runs a file, see `Runner`."""

    def run(self, mirrors: Mirrors, only: tuple[str, ...], deadline: Deadline) -> Report: ...

    def lock_of(self, mirrors: Mirrors, store: str) -> AbstractContextManager[Callable[[], bool]]: ...


class Listener(Protocol):
    """Is told what happens, by the thread of each file."""

    def ran(self, file: str, report: Report, next_run: datetime) -> None: ...

    def reloaded(self, file: str, mirrors: Mirrors) -> None: ...

    def bad_edit(self, file: str, mirrors: Mirrors, error: str) -> None: ...

    def stands_by(self, file: str, held: Held) -> None: ...


class WatchedFile:
    """A file and what is known of it. `status` may be read by any thread.

    Raises `MirrorsInvalid` or `UsageError` if the file cannot be used to begin with.
    """

    def __init__(
        self,
        path: Path,
        load: Callable[[Path], Mirrors],
        runs: Runs,
        inbox: Inbox,
        clock: Clock,
        listener: Listener,
        seed: str,
    ) -> None:
        self._path, self._load, self._runs = path, load, runs
        self._inbox, self._clock, self._listener = inbox, clock, listener
        self._seed = seed
        self.status = Status(str(path), load(path))
        # Of what was read: an edit since then is one.
        self._hash: str | None = self.status.mirrors.sha256
        self._set_table(self._new_table(at_once=False))

    def run_once(self) -> None:
        """Runs everything once, whatever the schedule."""
        self._run(())
        while self.status.standing_by and not self._inbox.is_stopped:
            self._run(())

    def run(self, max_failures: int | None = None) -> None:
        """Runs until it is stopped, or until `max_failures` runs in a row have failed."""
        while not self._inbox.is_stopped and (max_failures is None or self.status.failures < max_failures):
            self.turn()

    def turn(self) -> None:
        """Does what is to be done now, or waits a while."""
        self._look_at_file()
        now = self._clock.now()
        if (checked := self._table.checked(now)) is not self._table:
            self._set_table(checked)
        only = self._inbox.take_targets()
        if only is None and self._table.next <= now:
            only = self._table.due(now)
            if only is None:
                self._set_table(self._table.ended(now))
        if only is not None and not self._inbox.is_stopped:
            self._run(only)
        else:
            self._clock.wait(self._inbox, max(0.0, min(POLL, (self._table.next - now).total_seconds())))

    def _run(self, only: tuple[str, ...]) -> None:
        self.status = replace(self.status, next_run=None)
        report = self._runs.run(self.status.mirrors, only, self._inbox.deadline)
        if report.held and not report.stopped:
            self._stand_by(report.held)
            return
        now = self._clock.now()
        self._set_table(self._table.settled(only, report.retried, now).ended(now))
        self._note(report)
        self._listener.ran(self.status.file, report, self._table.next)

    def _note(self, report: Report) -> None:
        now, failed = self._clock.now(), bool(report.failures)
        self.status = replace(
            self.status,
            last_run=now,
            last_success=self.status.last_success if failed or report.stopped else now,
            failures=self.status.failures + 1 if failed else 0,
            error=next((str(one.error) for one in report.runs if one.error), None),
            standing_by=None,
        )

    def _stand_by(self, held: Held) -> None:
        """Waits until the lock is free, and runs out at once then: what is due stays due."""
        if self.status.standing_by is None:
            self._listener.stands_by(self.status.file, held)
        self.status = replace(self.status, standing_by=held.error.holder)
        with self._runs.lock_of(self.status.mirrors, held.store) as is_held:
            while not self._inbox.has_news and is_held():
                self._clock.wait(self._inbox, LOOK_EVERY)

    def _look_at_file(self) -> None:
        """Reads the file anew if it was edited, or if the inbox says so."""
        asked = self._inbox.take_reload()
        if not asked and self._hash_of_files() == self._hash:
            if self.status.bad_edit:
                # What corrects it may be in a file that was not included before, or in a key file.
                self._reload()
            return
        self._hash = self._hash_of_files()
        if not asked:
            self._clock.wait(self._inbox, SETTLED)
            if self._hash_of_files() != self._hash:
                # It is still being written; the next turn looks again.
                self._hash = None
                return
        self._reload(asked=asked)

    def _reload(self, *, asked: bool = False) -> None:
        try:
            mirrors = self._load(self._path)
        except (MirrorsInvalid, UsageError) as error:
            if asked or str(error) != self.status.bad_edit:
                self.status = replace(self.status, bad_edit=str(error))
                self._listener.bad_edit(self.status.file, self.status.mirrors, str(error))
            return
        self.status = replace(self.status, mirrors=mirrors, bad_edit=None)
        self._set_table(self._new_table(at_once=True))
        self._listener.reloaded(self.status.file, mirrors)

    def _hash_of_files(self) -> str:
        # By the patterns of the last valid edit: with other ones, the file itself has changed.
        return hash_of_files(self._path, self.status.mirrors.include)

    def _new_table(self, *, at_once: bool) -> Timetable:
        return Timetable.of(self.status.mirrors, self._clock.now(), self._seed, at_once=at_once)

    def _set_table(self, table: Timetable) -> None:
        self._table = table
        self.status = replace(self.status, next_run=table.next, late_at=table.late_at)
