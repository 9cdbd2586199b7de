"""The metrics of a process that makes many runs, e.g. `watch`, for whatever answers its `/metrics`."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from reconciler.http.tally import ANSWERS
from reconciler.metrics.exposition import exposition
from reconciler.metrics.samples import (
    NO_SAMPLES,
    after_run,
    with_answers,
    with_demand,
    with_files,
    with_traffic,
    with_triggers,
)

if TYPE_CHECKING:
    from reconciler.apply.finished import Finished
    from reconciler.metrics.samples import FileState, Samples, Traffic
    from reconciler.pulls.demand import Demand


NO_TRIGGERS: Mapping[tuple[str, str], int] = {}
NO_FILES: Mapping[str, FileState] = {}


class Recorder:
    """Collects the metrics of runs. Safe for any number of threads."""

    def __init__(self) -> None:
        self._samples: Samples = NO_SAMPLES
        self._changing = threading.Lock()

    def add(self, run: Finished) -> None:
        """Adds a run that has ended."""
        with self._changing:
            self._samples = after_run(self._samples, run)

    def asked(self, name: str, store: str, found: Demand) -> None:
        """Takes what clients asked a store for."""
        with self._changing:
            self._samples = with_demand(self._samples, name, store, found)

    def exposition(
        self,
        triggers: Mapping[tuple[str, str], int] = NO_TRIGGERS,
        files: Mapping[str, FileState] = NO_FILES,
        traffic: Traffic | None = None,
    ) -> bytes:
        """Writes all metrics as they are now, with those of the process.

        triggers  how many there were, by path and result
        files     the watched files by name
        traffic   what a registry was asked for
        """
        samples = with_triggers(with_answers(self._samples, ANSWERS.counts), triggers)
        if traffic:
            samples = with_traffic(samples, traffic)
        return exposition(with_files(samples, files), of_process=True)
