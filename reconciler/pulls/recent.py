"""Reads the pulls of the last days that are over: what the catalog page and metrics show. They change once a day."""

from __future__ import annotations

from concurrent.futures import Executor
from datetime import date, timedelta
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.pulls.stored import read_counts

if TYPE_CHECKING:
    from reconciler.pulls.counts import Counts
    from reconciler.stores import Store

DAYS = 30

MOST_OBJECTS = 200
"""Objects that are read, those of the latest days first. After `r2mirror gc`, most days have one."""


class Recent(Frozen):
    """What was counted from `since` to `until`, both included."""

    since: date
    until: date
    counts: Counts


def read_recent(state: Store, today: date, executor: Executor) -> Recent:
    """Adds up the counts of the last `DAYS` days before today. Raises `StoreError`."""
    since, until = recent_days(today)
    found = read_counts(state, since, until, executor, MOST_OBJECTS)
    return Recent(found.since, until, found.counts)


def recent_days(today: date) -> tuple[date, date]:
    """Returns the first and the last of the `DAYS` days before today."""
    return today - timedelta(days=DAYS), today - timedelta(days=1)
