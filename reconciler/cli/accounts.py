"""Keeps the accounts of the runs of one call, and hands them on when it ends: to the metrics file, and to notifiers."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from reconciler.apply.finished import Account
from reconciler.cli.console import warn
from reconciler.errors import ExtraMissing

if TYPE_CHECKING:
    from reconciler.apply.finished import Finished
    from reconciler.metrics.samples import Samples
    from reconciler.mirrors.model import Mirrors
    from reconciler.plan.connections import Connections
    from reconciler.stores import Store


class Accounts:
    """The accounts of a call, one for each store. What cannot be handed on is a warning: it fails no run."""

    def __init__(self, metrics_file: Path | None) -> None:
        """Reads the metrics of earlier runs. Raises `UsageError` for a file that may not be replaced."""
        self._metrics_file = metrics_file
        self._before = _read(metrics_file) if metrics_file else {}
        self._accounts: list[tuple[Account, Mirrors, Connections]] = []

    def open(self, mirrors: Mirrors, connections: Connections) -> Account:
        """Opens the account of a run for one store."""
        account = Account(mirrors.shown, mirrors.store_name or "", [mirror.target for mirror in mirrors.mirrors])
        self._accounts.append((account, mirrors, connections))
        return account

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        runs = [(one.finished(), mirrors, opened) for one, mirrors, opened in self._accounts if one.began]
        if runs and self._metrics_file:
            self._write(self._metrics_file, [(run, opened.target.state) for run, _, opened in runs])
        for run, mirrors, connections in runs:
            if mirrors.notifiers:
                notify(run, mirrors, connections)

    def _write(self, path: Path, runs: list[tuple[Finished, Store]]) -> None:
        from reconciler.cli.pulls import demand_of
        from reconciler.http.tally import ANSWERS
        from reconciler.metrics.file import write_metrics
        from reconciler.metrics.samples import after_run, with_answers, with_demand

        samples = with_answers(self._before, ANSWERS.counts)
        for run, state in runs:
            samples = after_run(samples, run)
            # A run that failed or was stopped ends at once.
            found = None if run.error or run.interrupted else demand_of(state, run.at)
            samples = with_demand(samples, run.name, run.store, found) if found else samples
        try:
            write_metrics(path, samples)
        except OSError as error:
            warn(f"--metrics-file {path}: cannot be written: {error.strerror}")


def notify(run: Finished, mirrors: Mirrors, connections: Connections) -> None:
    """Tells the notifiers of a mirrors file about a run. What cannot be delivered is a warning."""
    from reconciler.notify.notifications import Notifications

    for problem in Notifications(mirrors.notifiers, os.environ).tell(run, lambda: connections.target.state):
        warn(problem)


def _read(path: Path) -> Samples:
    # Not loaded by runs without the option.
    try:
        from reconciler.metrics.file import read_metrics
    except ModuleNotFoundError as error:
        if error.name != "prometheus_client":
            raise
        raise ExtraMissing("--metrics-file", "metrics") from None
    return read_metrics(path)
