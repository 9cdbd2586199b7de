"""Reads the mirror index from the store and writes it back, so that no write of another apply is ever lost.

A write is conditional on the ETag that was read. If another writer was faster, the index is read again and the same
changes are made to it: they are statements about single tags, true whatever else has changed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reconciler import __version__
from reconciler.errors import IndexInvalid, IndexVersion, PreconditionFailed
from reconciler.stores import Absent, Matches
from reconciler.target.index import WRITER, MirrorIndex
from reconciler.target.index_json import parse, serialise
from reconciler.target.layout import JSON_HEADERS, MIRROR_INDEX

if TYPE_CHECKING:
    from reconciler.stores import Store

logger = logging.getLogger(__name__)

WRITE_ATTEMPTS = 5


@dataclass(frozen=True)
class StoredIndex:
    """The mirror index as it was read.

    etag  None: the bucket has no index yet
    at    when it was read, by the store's clock; without an index by this machine's, as there is nothing to compare
    """

    index: MirrorIndex
    etag: str | None
    at: datetime = field(default_factory=lambda: datetime.now(UTC), compare=False)


def read_index(state: Store) -> StoredIndex:
    """Reads the mirror index; an empty one if there is none. Raises `IndexInvalid` for a damaged one, `StoreError`."""
    stored = state.get(MIRROR_INDEX)
    if stored is None:
        return StoredIndex(MirrorIndex(), None)
    return StoredIndex(parse(stored.body, f"{state.name}/{MIRROR_INDEX}"), stored.etag, stored.now)


def salvage_index(state: Store) -> tuple[StoredIndex, str | None]:
    """Reads the mirror index, or returns an empty one and what is wrong if it is damaged.

    Raises `IndexVersion` and `StoreError`.
    """
    stored = state.get(MIRROR_INDEX)
    if stored is None:
        return StoredIndex(MirrorIndex(), None), None
    try:
        return StoredIndex(parse(stored.body, f"{state.name}/{MIRROR_INDEX}"), stored.etag, stored.now), None
    except IndexVersion:
        # Not damaged, but another release's: to build it anew would lose what that one has recorded.
        raise
    except IndexInvalid as error:
        return StoredIndex(MirrorIndex(), stored.etag, stored.now), error.why


def write_index(state: Store, observed: StoredIndex, change: Callable[[MirrorIndex], MirrorIndex]) -> StoredIndex:
    """Applies `change` to the index, writes it unless it stays equal, and returns what is stored now.

    Raises `PreconditionFailed` if other writers were faster `WRITE_ATTEMPTS` times in a row, and `IndexVersion` if only
    a newer release may write the index.
    """
    for attempt in range(1, WRITE_ATTEMPTS + 1):
        after = change(observed.index)
        if after == observed.index:
            return observed
        _check_writer(state, observed.index)
        after = replace(after, serial=observed.index.serial + 1)
        body = serialise(after, datetime.now(UTC), f"r2mirror {__version__}")
        condition = Matches(observed.etag) if observed.etag else Absent()
        try:
            etag = state.put(MIRROR_INDEX, body, JSON_HEADERS, condition)
        except PreconditionFailed:
            if attempt == WRITE_ATTEMPTS:
                raise
            logger.info("another process wrote the mirror index meanwhile; making the same changes to its version")
            observed = read_index(state)
        else:
            logger.info("wrote the mirror index, serial %d, %d bytes", after.serial, len(body))
            return StoredIndex(after, etag, observed.at)
    raise AssertionError("unreachable")


def _check_writer(state: Store, index: MirrorIndex) -> None:
    if index.min_writer > WRITER:
        raise IndexVersion(
            f"{state.name}/{MIRROR_INDEX}",
            f"a newer release keeps the mirror index and asks for writer {index.min_writer}, this r2mirror is writer "
            f"{WRITER}: it would drop what it does not know. It reads the index; use a newer release to write it",
        )
