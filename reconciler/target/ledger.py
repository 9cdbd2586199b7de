"""Reads the mirror index from the store and writes it back, so that no write of another apply is ever lost.

`_mirror/index.json` is its root, and the only object that is compared and swapped. Each root names the one before it by
its hash and is kept below `_mirror/roots/`, so that they are a chain (`roots`). What a large root refers to is
immutable, and written before it (`states`).

A write is conditional on the ETag that was read. If another writer was faster, the index is read again and the same
changes are made to it: they are statements about single tags, true whatever else has changed.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reconciler import __version__
from reconciler.errors import IndexInvalid, IndexVersion, Malformed, PreconditionFailed
from reconciler.frozen import Frozen
from reconciler.oci.spec import Digest
from reconciler.stores import Absent, Matches
from reconciler.target.index import WRITER, MirrorIndex
from reconciler.target.index_json import parse, serialise
from reconciler.target.index_origin import By, Origin, by
from reconciler.target.index_root import parse_head
from reconciler.target.layout import JSON_HEADERS, MIRROR_INDEX, STATE_HEADERS, root_key
from reconciler.target.states import NOTHING_KNOWN, Known, put_states, state_reader

if TYPE_CHECKING:
    from reconciler.stores import Store, Stored

logger = logging.getLogger(__name__)

WRITE_ATTEMPTS = 5


class StoredIndex(Frozen):
    """The mirror index as it was read.

    etag    None: the bucket has no index yet
    at      when it was read, by the store's clock; without an index by this machine's, as there is nothing to compare
    digest  the sha256 of the root; None: there is none
    known   the groups of repositories that it has, if it is large
    unkept  the bytes of a root of versions 1 and 2, which kept no copies; None: there is a copy
    """

    index: MirrorIndex
    etag: str | None
    at: datetime = field(default_factory=lambda: datetime.now(UTC), compare=False)
    digest: Digest | None = field(default=None, compare=False)
    known: Known = field(default=NOTHING_KNOWN, compare=False, repr=False)
    unkept: bytes | None = field(default=None, compare=False, repr=False)


def read_index(state: Store, before: StoredIndex | None = None) -> StoredIndex:
    """Reads the mirror index; an empty one if there is none. Raises `IndexInvalid` for a damaged one, `StoreError`.

    before  as it was read earlier: of a large index, only what has changed since is read
    """
    stored = state.get(MIRROR_INDEX)
    return StoredIndex(MirrorIndex(), None) if stored is None else _read(state, stored, before)


def _read(state: Store, stored: Stored, before: StoredIndex | None = None) -> StoredIndex:
    reader = state_reader(state, before.known if before else NOTHING_KNOWN)
    index = parse(stored.body, f"{state.name}/{MIRROR_INDEX}", reader)
    known = Known(index.repositories, reader.table, reader.digest) if reader.digest else NOTHING_KNOWN
    digest = Digest.of(stored.body)
    unkept = None if _is_kept(stored.body, digest) else stored.body
    return StoredIndex(index, stored.etag, stored.now, digest, known, unkept)


def _is_kept(body: bytes, digest: Digest) -> bool:
    """Whether whoever wrote a root has kept a copy of it: since version 3, which names its writer."""
    try:
        root = parse_head(body, None, digest)
    except Malformed:
        return False
    return root is not None and root.origin.by is not None


def salvage_index(state: Store) -> tuple[StoredIndex, str | None]:
    """Reads the mirror index, or returns an empty one and what is wrong if it is damaged.

    Raises `IndexVersion` and `StoreError`.
    """
    stored = state.get(MIRROR_INDEX)
    if stored is None:
        return StoredIndex(MirrorIndex(), None), None
    try:
        return _read(state, stored), None
    except IndexVersion:
        # Not damaged, but another release's: to build it anew would lose what that one has recorded.
        raise
    except IndexInvalid as error:
        return StoredIndex(MirrorIndex(), stored.etag, stored.now, Digest.of(stored.body)), error.why


def write_index(
    state: Store,
    observed: StoredIndex,
    change: Callable[[MirrorIndex], MirrorIndex],
    by: By | None = None,
    registry: str = "",
) -> StoredIndex:
    """Applies `change` to the index, writes it unless it stays equal, and returns what is stored now.

    registry  of a target that is one: what the index is marked with

    First what the new root names is written, then the root is kept under its own name, and at last it is swapped in.
    Raises `PreconditionFailed` if other writers were faster `WRITE_ATTEMPTS` times in a row, and `IndexVersion` if only
    a newer release may write the index.
    """
    # Imported here: most runs write no index.
    from reconciler.target.roots import newest_serial

    for attempt in range(1, WRITE_ATTEMPTS + 1):
        after = change(observed.index)
        if after == observed.index:
            return observed
        _check_writer(state, observed.index)
        serial = (observed.index.serial or newest_serial(state)) + 1
        after = replace(after, serial=serial, registry=registry or after.registry)
        try:
            return _write(state, observed, after, by or writer("r2mirror"))
        except PreconditionFailed:
            if attempt == WRITE_ATTEMPTS:
                raise
            logger.info("another process wrote the mirror index meanwhile; making the same changes to its version")
            observed = read_index(state, observed)
    raise AssertionError("unreachable")


def _write(state: Store, observed: StoredIndex, after: MirrorIndex, by: By) -> StoredIndex:
    content, known = put_states(state, after, observed.known)
    origin = Origin(by, observed.digest)
    body = serialise(after, datetime.now(UTC), f"r2mirror {__version__}", origin, content)
    digest = Digest.of(body)
    if observed.digest and observed.unkept:
        # What the first apply of this release changes can then be told, and undone.
        state.put(root_key(observed.index.serial, observed.digest), observed.unkept, STATE_HEADERS)
    state.put(root_key(after.serial, digest), body, STATE_HEADERS)
    etag = state.put(MIRROR_INDEX, body, JSON_HEADERS, Matches(observed.etag) if observed.etag else Absent())
    logger.info("wrote the mirror index, serial %d, %d bytes", after.serial, len(body))
    return StoredIndex(after, etag, observed.at, digest, known)


def writer(command: str, plan: Digest | None = None, lock: str | None = None) -> By:
    """Returns who this process is, for the roots that it writes.

    plan  the sha256 of a saved plan that it applies
    lock  the holder of its lock, which tells its run from others
    """
    return by(socket.gethostname(), command, os.environ, plan, lock)


def _check_writer(state: Store, index: MirrorIndex) -> None:
    if index.min_writer > WRITER:
        raise IndexVersion(
            f"{state.name}/{MIRROR_INDEX}",
            f"a newer release keeps the mirror index and asks for writer {index.min_writer}, this r2mirror is writer "
            f"{WRITER}: it would drop what it does not know. It reads the index; use a newer release to write it",
        )
