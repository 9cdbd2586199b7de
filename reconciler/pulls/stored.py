"""Reads what was counted from a store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from datetime import date
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

from reconciler.errors import Malformed
from reconciler.frozen import Frozen
from reconciler.pulls.counts import NO_COUNTS, Counts, parse_counts, total
from reconciler.target.layout import counts_key, counts_prefixes, parse_counts_key
from reconciler.work.threads import each

if TYPE_CHECKING:
    from reconciler.stores import Store

MAX_OBJECTS = 2_000
"""Objects that are read, those of the latest days first: each is a request."""

MAX_LISTED = 100_000
MAX_BYTES = 6 * 1024 * 1024
"""Bytes of an object: 11,000 names of 255 and 128 letters with their counts, and 20,000 writers."""

MERGED = "merged"
"""The writer of the object into which those of a day are merged, and which says whose counts it has."""


class Part(NamedTuple):
    """What a writer counted on a day."""

    day: date
    writer: str

    @property
    def key(self) -> str:
        return counts_key(self.day, self.writer)


class StoredCounts(Frozen):
    """What was counted.

    counts   of all writers and days together
    since    the first day of which something was read
    damaged  objects that cannot be read as counts
    left     objects that were not read, because there are too many
    """

    counts: Counts
    since: date
    damaged: tuple[str, ...] = ()
    left: int = 0


def read_counts(store: Store, since: date, until: date, executor: Executor, most: int = MAX_OBJECTS) -> StoredCounts:
    """Adds up what was counted from `since` to `until`, from up to `most` objects. Raises `StoreError`."""
    # The latest days first, and of each the object that the others may be merged in.
    listed = sorted(
        listed_parts(store, since, until),
        key=lambda part: (-part.day.toordinal(), part.writer != MERGED, part.writer),
    )
    chosen, left = listed[:most], max(0, len(listed) - most)
    damaged: list[str] = []

    def read(parts: Iterable[Part]) -> Iterator[tuple[Part, Counts]]:
        for part, counts in read_parts(store, parts, executor):
            if counts:
                yield part, counts
            else:
                damaged.append(part.key)

    whole = {part.day: counts for part, counts in read(part for part in chosen if part.writer == MERGED)}
    merged = {Part(day, writer) for day, counts in whole.items() for writer in counts.merged}
    parts = read(part for part in chosen if part.writer != MERGED and part not in merged)
    counts = total(chain(whole.values(), (one for _, one in parts)))
    return StoredCounts(counts, chosen[-1].day if left else since, tuple(sorted(damaged)), left)


def listed_parts(store: Store, since: date, until: date) -> Iterator[Part]:
    """Lists what there is to read of these days, however much there is of earlier ones. Raises `StoreError`."""
    rows = chain.from_iterable(map(store.list, counts_prefixes(since, until)))
    for row in islice(rows, MAX_LISTED):
        found = parse_counts_key(row.key)
        # Too large for counts: not ours, and not to be held in memory.
        if found and since <= found[0] <= until and row.size <= MAX_BYTES:
            yield Part(*found)


def read_parts(store: Store, parts: Iterable[Part], executor: Executor) -> Iterator[tuple[Part, Counts | None]]:
    """Reads parts; None for one that is damaged. Raises `StoreError`."""
    return each(executor, lambda part: _read(store, part.key), parts)


def _read(store: Store, key: str) -> Counts | None:
    found = store.get(key)
    try:
        return parse_counts(found.body, f"{store.name}/{key}") if found else NO_COUNTS
    except Malformed:
        return None
