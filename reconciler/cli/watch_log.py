"""Prints a line for each run of watch, and for whatever else happens; counts runs for the metrics, and notifies."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from reconciler.cli.console import complain, note, warn
from reconciler.cli.log import stamp
from reconciler.work.unforeseen import foreseen

if TYPE_CHECKING:
    from reconciler.apply.finished import Finished
    from reconciler.errors import MirrorError
    from reconciler.metrics.recorder import Recorder
    from reconciler.mirrors.model import Mirrors
    from reconciler.mirrors.notifiers import Notifier
    from reconciler.notify.notifications import Notifications
    from reconciler.plan.connections import Connections
    from reconciler.stores import Store
    from reconciler.watch.report import Held, Report


class WatchLog:
    """The log of watch. Its methods are called by the thread of each file."""

    def __init__(self, recorder: Recorder | None, *, tells_next: bool) -> None:
        self._recorder = recorder
        self._tells_next = tells_next
        self._notifications: dict[tuple[str, Sequence[Notifier]], Notifications] = {}
        self._bad_edits: dict[str, tuple[Mirrors, str]] = {}
        self._asked: dict[tuple[str, str], date] = {}

    def ran(self, file: str, report: Report, next_run: datetime) -> None:
        """Prints what a run came to, and when the next one is due."""
        if self._recorder:
            for run in report.runs:
                self._recorder.add(run)
        for error in report.errors:
            complain(f"{file}: {error}")
        then = f"; next run {moment_words(next_run)}" if self._tells_next and not report.stopped else ""
        note(f"{stamp(sys.stderr)} {file}: {report.words}{then}")
        if file in self._bad_edits:
            # Sent only if it could not be delivered before.
            self._notify_of_edit(file, *self._bad_edits[file])

    def notify(self, run: Finished, mirrors: Mirrors, connections: Connections) -> None:
        """Notifies of a run. A notifier that fails is a warning: it fails no run."""
        if self._recorder:
            self._ask(self._recorder, run, connections)
        self._notify(
            mirrors, f"{mirrors.shown} {mirrors.store}", lambda one: one.tell(run, lambda: connections.target.state)
        )

    def _ask(self, recorder: Recorder, run: Finished, connections: Connections) -> None:
        """Reads what clients asked for, once a day: it is about days that are over."""
        if run.error or run.interrupted or self._asked.get((run.name, run.store)) == run.at.date():
            return
        from reconciler.cli.pulls import demand_of

        self._asked[run.name, run.store] = run.at.date()
        found = demand_of(connections.target.state, run.at)
        if found:
            recorder.asked(run.name, run.store, found)

    def started(self, file: str, mirrors: Mirrors, next_run: datetime | None) -> None:
        """Prints that a file is watched. It can be used, whatever was said of it before a restart."""
        note(f"{stamp(sys.stderr)} {file}: watching; next run {moment_words(next_run)}")
        self._notify_of_edit(file, mirrors, None)

    def reloaded(self, file: str, mirrors: Mirrors) -> None:
        """Prints that a file was read anew."""
        note(f"{stamp(sys.stderr)} {file}: read anew; it is run at once")
        if self._bad_edits.pop(file, None):
            self._notify_of_edit(file, mirrors, None)

    def bad_edit(self, file: str, mirrors: Mirrors, error: str) -> None:
        """Prints why the content of a file is not taken over."""
        complain(f"{error}\n{file} was edited and cannot be used: the content before that stays at work until it can")
        self._bad_edits[file] = (mirrors, error)
        self._notify_of_edit(file, mirrors, error)

    def stands_by(self, file: str, held: Held) -> None:
        """Prints which run is waited for."""
        who = f"{held.error.holder} has been at work since {held.error.since}"
        note(f"{stamp(sys.stderr)} {file}: standing by: {who}")

    def crashed(self, file: str, error: MirrorError) -> None:
        """Prints what a thread died of."""
        complain(f"{file}: {error}")

    def _notify_of_edit(self, file: str, mirrors: Mirrors, problem: str | None) -> None:
        # A file with several stores notes it in the first one.
        target = mirrors.targets()[0]
        with ExitStack() as stack:

            def state() -> Store:
                from reconciler.target.kinds import open_target

                opened = open_target(target.store, os.environ, registries=target.registries)
                return stack.enter_context(closing(opened)).state

            self._notify(mirrors, file, lambda one: one.tell_edit(mirrors.shown, problem, state))

    def _notify(self, mirrors: Mirrors, name: str, tell: Callable[[Notifications], tuple[str, ...]]) -> None:
        if not mirrors.notifiers:
            return
        from reconciler.notify.notifications import Notifications

        try:
            # Kept, since it remembers what it has told where the store cannot be reached.
            fresh = Notifications(mirrors.notifiers, os.environ)
            for problem in tell(self._notifications.setdefault((name, mirrors.notifiers), fresh)):
                warn(problem)
        except Exception as error:  # noqa: BLE001 not even a fault of ours may end the thread of a file
            warn(f"notify: {foreseen(mirrors.shown, error)}")


def moment_words(at: datetime | None) -> str:
    """Writes a time for people: of the day if it is today, by this machine's zone."""
    if at is None or at <= datetime.now(UTC):
        return "now"
    local = at.astimezone()
    is_today = local.date() == datetime.now().astimezone().date()
    return f"at {local:%H:%M:%S}" if is_today else f"at {local:%Y-%m-%d %H:%M:%S}"
