"""Reads the mirror index from the store and writes it back, so that no write of another apply is ever lost.

A write is conditional on the ETag that was read. Where it loses, the index is read again and the same changes are made
to what is there now: they are statements about single tags, true whatever else has changed.
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
    """The mirror index as it was read. `etag` None: there is none yet.

    `at` is the time then, by the store's clock; by this machine's where there is no index, and nothing to be compared.
    """

    index: MirrorIndex
    etag: str | None
    at: datetime = field(default_factory=lambda: datetime.now(UTC), compare=False)


def read_index(state: Store) -> StoredIndex:
    """Raises `IndexInvalid` if there is an index that cannot be read, and `StoreError`."""
    stored = state.get(MIRROR_INDEX)
    if stored is None:
        return StoredIndex(MirrorIndex(), None)
    return StoredIndex(parse(stored.body, f"{state.name}/{MIRROR_INDEX}"), stored.etag, stored.now)


def salvage_index(state: Store) -> tuple[StoredIndex, str | None]:
    """As `read_index`, but an empty index in place of one that is damaged, and what is wrong with that.

    Raises `IndexVersion` and `StoreError`.
    """
    stored = state.get(MIRROR_INDEX)
    if stored is None:
        return StoredIndex(MirrorIndex(), None), None
    try:
        return StoredIndex(parse(stored.body, f"{state.name}/{MIRROR_INDEX}"), stored.etag, stored.now), None
    except IndexVersion:
        raise
    except IndexInvalid as error:
        return StoredIndex(MirrorIndex(), stored.etag, stored.now), error.why


def write_index(state: Store, observed: StoredIndex, change: Callable[[MirrorIndex], MirrorIndex]) -> StoredIndex:
    """Writes `change` of the index and returns what is now there; writes nothing where `change` changes nothing.

    Raises `PreconditionFailed` when other writers were faster `WRITE_ATTEMPTS` times in a row, and `IndexVersion` where
    the index asks for a newer release than this one to write it.
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
