"""Merges what many writers counted on a day into one object, so that there is little to read afterwards.

The merged object names the writers whose counts it has, and a reader passes over theirs: the counts add up to the same
at every moment, whatever operation is the last one. Only for the holder of the lock.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import Executor
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.pulls.counts import MAX_MISSED, MAX_PULLED, counts_bytes, total
from reconciler.pulls.stored import MERGED, Part, listed_parts, read_parts
from reconciler.target.compaction import COUNTS_KEPT
from reconciler.target.layout import LOCK_HEADERS

if TYPE_CHECKING:
    from reconciler.stores import Store

SETTLED = timedelta(days=2)
"""The age of days that are merged. A server writes the last counts of a day some minutes after its end."""

MOST_OBJECTS = 5_000
"""Objects that are merged at a time: each is a request."""

MAX_WRITERS = 20_000
"""Writers in a merged object. On a day with more, the others keep their objects."""


class Merge(Frozen):
    """A day of which several objects become one. `parts`: those that go."""

    day: date
    parts: tuple[Part, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(part.key for part in self.parts)


def mergeable(state: Store, today: date) -> tuple[Merge, ...]:
    """Finds the days that are over and have several objects, the oldest first. Raises `StoreError`."""
    by_day: defaultdict[date, list[Part]] = defaultdict(list)
    for part in listed_parts(state, today - COUNTS_KEPT, today - SETTLED):
        by_day[part.day].append(part)
    found, left = [], MOST_OBJECTS
    for day, parts in sorted(by_day.items()):
        own = sorted(part for part in parts if part.writer != MERGED)[:left]
        left -= len(own)
        if own and len(parts) > 1:
            found.append(Merge(day, tuple(own)))
    return tuple(found)


def merge(state: Store, found: Merge, executor: Executor) -> Merge:
    """Merges the objects of a day, and returns it with those that are gone. Damaged ones stay. Raises `StoreError`."""
    place = Part(found.day, MERGED)
    [(_, before)] = read_parts(state, [place], executor)
    if before is None:
        return replace(found, parts=())
    fresh = [part for part in found.parts if part.writer not in before.merged]
    room = max(0, MAX_WRITERS - len(before.merged))
    read = {part: one for part, one in read_parts(state, fresh[:room], executor) if one}
    if read:
        counts = total([before, *read.values()], MAX_PULLED, MAX_MISSED)
        merged = before.merged | {part.writer for part in read}
        state.put(place.key, counts_bytes(found.day, replace(counts, merged=merged)), LOCK_HEADERS)
    gone = tuple(part for part in found.parts if part in read or part.writer in before.merged)
    state.delete(part.key for part in gone)
    return replace(found, parts=gone)
