"""Reads what was counted from a store."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import TYPE_CHECKING

from reconciler.errors import Malformed
from reconciler.pulls.counts import NO_COUNTS, Counts, parse_counts, total
from reconciler.target.layout import COUNTS, counts_day
from reconciler.work.threads import each

if TYPE_CHECKING:
    from reconciler.stores import Store

MAX_OBJECTS = 2_000
"""Objects that are read, those of the latest days first: each is a request."""

MAX_LISTED = 100_000
MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class StoredCounts:
    """What was counted.

    counts   of all writers and days together
    damaged  objects that cannot be read as counts
    left     objects that were not read, because there are too many
    """

    counts: Counts
    damaged: tuple[str, ...] = ()
    left: int = 0


def read_counts(store: Store, since: date, executor: Executor, most: int = MAX_OBJECTS) -> StoredCounts:
    """Adds up what was counted on `since` and later, from up to `most` objects. Raises `StoreError`."""
    days = [(day, key) for day, key in _listed(store) if day >= since]
    keys = [key for _, key in sorted(days, reverse=True)]
    parts = dict(each(executor, lambda key: _read(store, key), keys[:most]))
    damaged = tuple(sorted(key for key, counts in parts.items() if counts is None))
    return StoredCounts(total(filter(None, parts.values())), damaged, max(0, len(keys) - most))


def _listed(store: Store) -> Iterator[tuple[date, str]]:
    for row in islice(store.list(COUNTS), MAX_LISTED):
        day = counts_day(row.key)
        # Too large for counts: not ours, and not to be held in memory.
        if day and row.size <= MAX_BYTES:
            yield day, row.key


def _read(store: Store, key: str) -> Counts | None:
    found = store.get(key)
    try:
        return parse_counts(found.body, f"{store.name}/{key}") if found else NO_COUNTS
    except Malformed:
        return None
