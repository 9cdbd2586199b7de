"""Prints a line for each run of watch, and for whatever else happens; counts runs for the metrics."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reconciler.cli.accounts import notify
from reconciler.cli.console import complain, note, warn
from reconciler.cli.log import stamp
from reconciler.work.unforeseen import foreseen

if TYPE_CHECKING:
    from reconciler.apply.finished import Finished
    from reconciler.errors import MirrorError
    from reconciler.metrics.recorder import Recorder
    from reconciler.mirrors.model import Mirrors
    from reconciler.plan.connections import Connections
    from reconciler.watch.report import Held, Report


class WatchLog:
    """The log of watch. Its methods are called by the thread of each file."""

    def __init__(self, recorder: Recorder | None, *, tells_next: bool) -> None:
        self._recorder = recorder
        self._tells_next = tells_next

    def ran(self, file: str, report: Report, next_run: datetime) -> None:
        """Prints what a run came to, and when the next one is due."""
        if self._recorder:
            for run in report.runs:
                self._recorder.add(run)
        for error in report.errors:
            complain(f"{file}: {error}")
        then = f"; next run {moment_words(next_run)}" if self._tells_next and not report.stopped else ""
        note(f"{stamp(sys.stderr)} {file}: {report.words}{then}")

    def notify(self, run: Finished, mirrors: Mirrors, connections: Connections) -> None:
        """Tells the notifiers of a file about a run. A notifier that fails is a warning: it fails no run."""
        if mirrors.notifiers:
            try:
                notify(run, mirrors, connections)
            except Exception as error:  # noqa: BLE001 not even a fault of ours
                warn(f"notify: {foreseen(mirrors.name, error)}")

    def reloaded(self, file: str) -> None:
        """Prints that a file was read anew."""
        note(f"{stamp(sys.stderr)} {file}: read anew; it is run at once")

    def bad_edit(self, file: str, error: str) -> None:
        """Prints why the content of a file is not taken over."""
        complain(f"{error}\n{file} was edited and cannot be used: the content before that stays at work until it can")

    def stands_by(self, file: str, held: Held) -> None:
        """Prints which run is waited for."""
        who = f"{held.error.holder} has been at work since {held.error.since}"
        note(f"{stamp(sys.stderr)} {file}: standing by: {who}")

    def crashed(self, file: str, error: MirrorError) -> None:
        """Prints what a thread died of."""
        complain(f"{file}: {error}")


def moment_words(at: datetime | None) -> str:
    """Writes a time for people: of the day if it is today, by this machine's zone."""
    if at is None or at <= datetime.now(UTC):
        return "now"
    local = at.astimezone()
    is_today = local.date() == datetime.now().astimezone().date()
    return f"at {local:%H:%M:%S}" if is_today else f"at {local:%Y-%m-%d %H:%M:%S}"
