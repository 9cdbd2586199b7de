"""Removes roots of the mirror index that are older than `history`, states that no kept root names, and old counts.

Only for the holder of the lock: a state that is being written is not named by a root yet. Roots go first, so that every
root that is there can be read at every moment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from reconciler.errors import IndexInvalid
from reconciler.frozen import Frozen
from reconciler.oci.spec import Digest
from reconciler.target.index_root import Root, parse_head
from reconciler.target.layout import COUNTS, MIRROR_INDEX, STATES, parse_counts_key, parse_state_key, root_key
from reconciler.target.roots import heads, kept_roots
from reconciler.target.states import state_reader

if TYPE_CHECKING:
    from reconciler.stores import Store


COUNTS_KEPT = timedelta(days=90)
"""How long counts of pulls are kept."""


class Outdated(Frozen):
    """What is left over of earlier days: keys, in the order in which they are removed.

    roots, states  of earlier versions of the mirror index
    counts         of pulls
    """

    roots: tuple[str, ...]
    states: tuple[str, ...]
    counts: tuple[str, ...] = ()

    @property
    def objects(self) -> int:
        return len(self.keys)

    @property
    def keys(self) -> tuple[str, ...]:
        return (*self.roots, *self.states, *self.counts)


def outdated(state: Store, history: timedelta, now: datetime) -> Outdated:
    """Finds what the history of the mirror index no longer needs, and counts that are too old. Changes nothing.

    If a kept root or its table cannot be read, all states are kept: they may be named there. Raises `StoreError`.
    """
    stored = state.get(MIRROR_INDEX)
    if stored is None:
        # The index is lost: then all of it may be what it is rebuilt from.
        return Outdated((), ())
    present = Digest.of(stored.body)
    found = heads(state, kept_roots(state))
    readable = [root for root in found.values() if root]
    gone = frozenset(root.key for root in _old(readable, present, history, now))
    kept = [root for root in readable if root.key not in gone]
    oldest = min((root.serial for root in kept), default=0)
    unreadable = [root_key(*name) for name, root in found.items() if not root]
    # Of a damaged root only the serial is known, which says enough where all later ones are too old.
    overdue = {root_key(*name) for name, root in found.items() if not root and name[0] < oldest}
    # The present root too, which is not kept under its own name if it was written by hand or by an older release.
    current = None if present in {root.digest for root in kept} else parse_head(stored.body, None, present)
    states = _unnamed(state, [*kept, *([current] if current else [])]) if overdue.issuperset(unreadable) else ()
    return Outdated(tuple(sorted(gone | overdue)), tuple(states), _old_counts(state, now.date()))


def _old_counts(state: Store, today: date) -> tuple[str, ...]:
    rows = ((row.key, parse_counts_key(row.key)) for row in state.list(COUNTS))
    return tuple(sorted(key for key, found in rows if found and today - found[0] > COUNTS_KEPT))


def _old(roots: Collection[Root], present: Digest, history: timedelta, now: datetime) -> Iterator[Root]:
    """The roots that were replaced before the history begins, and those that lost a race for their place."""
    successors = {root.origin.previous: root for root in _lineage(roots, present) if root.origin.previous}
    for root in roots:
        if root.digest == present:
            continue
        winner = successors.get(root.origin.previous) if root.origin.previous else None
        lost = winner is not None and winner.digest != root.digest
        # A root is what was served until it was replaced: the last one before the history begins is part of it.
        until = successors[root.digest].at if root.digest in successors else root.at
        if lost or now - until >= history:
            yield root


def _lineage(roots: Iterable[Root], present: Digest) -> Iterator[Root]:
    """The present root and those before it, for as long as each names one that is there."""
    by_digest = {root.digest: root for root in roots}
    found = by_digest.get(present)
    while found:
        yield found
        found = by_digest.pop(found.origin.previous, None) if found.origin.previous else None


def _unnamed(state: Store, roots: Collection[Root]) -> list[str]:
    """The keys of states that none of these roots names; none if a table cannot be read."""
    reader = state_reader(state)
    named = {digest for root in roots for digest in (root.states, root.pending) if digest}
    try:
        for table in {root.states for root in roots if root.states}:
            named |= {row.digest for row in reader.read_table(table)}
    except IndexInvalid:
        return []
    listed = ((row.key, parse_state_key(row.key)) for row in state.list(STATES))
    return sorted(key for key, digest in listed if digest and digest not in named)


def compact(state: Store, left: Outdated) -> None:
    """Removes what `outdated` found. Raises `StoreError`."""
    state.delete(left.roots)
    state.delete(left.states)
    state.delete(left.counts)
