"""Reads what clients asked for, for the commands that show it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from reconciler.cli.console import note
from reconciler.cli.progress import waiting
from reconciler.pulls.stored import read_counts
from reconciler.words import count
from reconciler.work.threads import BLOB_WORKERS, readers

if TYPE_CHECKING:
    from reconciler.pulls.counts import Counts
    from reconciler.stores import Store


def counts_of(store: Store, days: int) -> Counts:
    """Reads the counts of the last `days` days, and reports what could not be read. Raises `StoreError`."""
    since = datetime.now(UTC).date() - timedelta(days=days - 1)
    with waiting("Reading ..."), readers(BLOB_WORKERS) as executor:
        found = read_counts(store, since, executor)
    for key in found.damaged[:1]:
        note(f"note: {count(len(found.damaged), 'object')} of counts cannot be read, e.g. {store.name}/{key}")
    if found.left:
        note(f"note: {count(found.left, 'object')} of the oldest counts are left out")
    return found.counts
