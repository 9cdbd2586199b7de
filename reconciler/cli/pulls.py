"""Reads what clients asked for, for the commands that show it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from reconciler.cli.console import note, warn
from reconciler.cli.waiting import waiting
from reconciler.errors import MirrorError, StoreDenied
from reconciler.pulls.counts import NO_COUNTS
from reconciler.pulls.demand import read_demand
from reconciler.pulls.stored import read_counts
from reconciler.words import count
from reconciler.work.threads import BLOB_WORKERS, readers

if TYPE_CHECKING:
    from reconciler.pulls.counts import Counts
    from reconciler.pulls.demand import Demand
    from reconciler.stores import Store


def demand_of(state: Store, at: datetime) -> Demand | None:
    """Reads what clients asked for, for metrics; None if it cannot be read, which is a warning."""
    try:
        return read_demand(state, at.date())
    except StoreDenied:
        # Credentials may be limited to what an apply needs.
        return None
    except MirrorError as error:
        warn(f"what clients asked for is not among the metrics: {error}")
        return None


def counts_of(store: Store, days: int) -> Counts:
    """Reads the counts of the last `days` days, and reports what could not be read. Raises `StoreError`."""
    today = datetime.now(UTC).date()
    with waiting("Reading ..."), readers(BLOB_WORKERS) as executor:
        found = read_counts(store, today - timedelta(days=days - 1), today, executor)
    if found.counts == NO_COUNTS and not found.damaged:
        why = "the edge's Worker counts by itself, `r2mirror serve` with --count"
        note(f"note: nothing was counted in {count(days, 'day')} in {store.name}; {why}")
    for key in found.damaged[:1]:
        note(f"note: {count(len(found.damaged), 'object')} of counts cannot be read, e.g. {store.name}/{key}")
    if found.left:
        note(f"note: {count(found.left, 'object')} of the oldest counts are left out")
    return found.counts
