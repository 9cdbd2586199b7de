"""What clients asked for, in few numbers: as metrics show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.pulls.recent import read_recent
from reconciler.pulls.wanted import wanted
from reconciler.target.ledger import read_index
from reconciler.work.threads import BLOB_WORKERS, readers

if TYPE_CHECKING:
    from reconciler.pulls.counts import Counts
    from reconciler.stores import Store
    from reconciler.target.index import MirrorIndex

MOST_REPOSITORIES = 20

OTHERS = "_others"
"""Stands for all other repositories: no repository has such a name."""


class Demand(Frozen):
    """What clients asked for on the last days that are over; empty where nothing was counted.

    pulls   by repository, of those with the most and of `OTHERS` together
    missed  the tags that are not mirrored
    """

    pulls: Mapping[str, int]
    missed: int


def demand(counts: Counts, index: MirrorIndex) -> Demand:
    """Sums up counts in a bounded number of values."""
    pulls: Counter[str] = Counter()
    for (repository, _), number in counts.pulled.items():
        pulls[repository] += number
    most = dict(sorted(pulls.items(), key=lambda one: (-one[1], one[0]))[:MOST_REPOSITORIES])
    others = pulls.total() - sum(most.values())
    return Demand({**most, OTHERS: others}, len(wanted(counts, index)))


def read_demand(state: Store, today: date) -> Demand:
    """Reads what was counted before today. Raises `StoreError` and `IndexInvalid`."""
    with readers(BLOB_WORKERS) as executor:
        counts = read_recent(state, today, executor).counts
    if not counts.pulled and not counts.missed:
        return Demand({}, 0)
    return demand(counts, read_index(state).index)
