"""Reads what happened to the mirror, and what it served at some time. Prints nothing.

    from itertools import islice

    from reconciler.mirrors.load import load_mirrors
    from reconciler.target.kinds import open_target
    from reconciler.upkeep.history import happened

    mirrors = load_mirrors(Path("mirrors.yaml"), os.environ)
    state = open_target(mirrors.store, os.environ).state
    for one in islice(happened(state, "library/alpine", "3.20"), 10):
        print(one.run.at, one.run.by, one.events)

A run costs the heads of its roots and one read of the index as it left it; parts that did not change are read once.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import dropwhile
from typing import TYPE_CHECKING

from reconciler.errors import UsageError
from reconciler.frozen import Frozen
from reconciler.target.history import Happened, events, runs
from reconciler.target.index import MirrorIndex
from reconciler.target.index_json import format_time
from reconciler.target.roots import read_root, roots
from reconciler.target.states import NOTHING_KNOWN

if TYPE_CHECKING:
    from reconciler.stores import Store
    from reconciler.target.history import Run
    from reconciler.target.index_root import Root
    from reconciler.target.states import Known


class Served(Frozen):
    """The mirror index as it was. `root` is the one that wrote it."""

    root: Root
    index: MirrorIndex


class Past:
    """The kept roots of a mirror index, newest first. Each is read once, and what two of them share only once too."""

    def __init__(self, state: Store) -> None:
        self._state = state
        self._last: tuple[Root, MirrorIndex] | None = None
        self._known: Known = NOTHING_KNOWN

    def runs(self, until: datetime | None = None) -> Iterator[Run]:
        """Yields the runs, newest first; of those that wrote after `until` only what they wrote before. Lazy."""
        kept = roots(self._state)
        return runs(dropwhile(lambda root: until is not None and root.at > until, kept))

    def index(self, root: Root) -> MirrorIndex:
        """Reads the index that a root was. Raises `IndexInvalid` and `StoreError`."""
        if self._last is None or self._last[0] != root:
            index, self._known = read_root(self._state, root, self._known)
            self._last = root, index
        return self._last[1]

    def at(self, at: datetime) -> Served:
        """Reads the index as it was at a time. Raises `UsageError` if the history does not reach back that far."""
        oldest = None
        for root in roots(self._state):
            if root.at <= at:
                return Served(root, self.index(root))
            oldest = root
        raise UsageError(_too_short(at, oldest))

    def before(self, run: Run) -> MirrorIndex | None:
        """Reads the index that a run began from; None if that is not kept."""
        if run.before is None:
            return MirrorIndex() if run.is_first else None
        return self.index(run.before)


def happened(
    state: Store, target: str | None = None, tag: str | None = None, until: datetime | None = None
) -> Iterator[Happened]:
    """Yields each run that did something, newest first: to one `target` or one `tag` of it if they are given.

    until  leaves out what was written later

    Raises `IndexInvalid` and `StoreError`.
    """
    past = Past(state)
    for run in past.runs(until):
        after = past.index(run.last)
        before = past.before(run)
        found = None if before is None else tuple(events(before, after, target, tag))
        if found or found is None:
            yield Happened(run, found)


def served_at(state: Store, at: datetime) -> Served:
    """Reads the mirror index as it was at a time. Raises as `Past.at` does."""
    return Past(state).at(at)


def _too_short(at: datetime, oldest: Root | None) -> str:
    """Says that the history does not reach back to a time, and how far it does."""
    if oldest is None:
        return "no history is kept yet; the next `r2mirror apply` that changes something begins it"
    return (
        f"the history does not reach back to {format_time(at)}: it begins at {format_time(oldest.at)}, with serial "
        f"{oldest.serial}"
    )
