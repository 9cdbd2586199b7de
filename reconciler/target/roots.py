"""The earlier roots of the mirror index, which are kept below `_mirror/roots/` for as long as `history` says."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, islice
from typing import TYPE_CHECKING

from reconciler.errors import Malformed
from reconciler.oci.spec import Digest
from reconciler.target.index_json import parse
from reconciler.target.index_root import HEAD, Root, parse_head
from reconciler.target.layout import MIRROR_INDEX, ROOTS, parse_root_key, root_key
from reconciler.target.states import NOTHING_KNOWN, Known, damaged_state, state_reader
from reconciler.work.threads import BLOB_WORKERS, each, threads

if TYPE_CHECKING:
    from reconciler.stores import Store
    from reconciler.target.index import MirrorIndex

AT_ONCE = 64
"""Heads that are read ahead of the caller."""


def roots(state: Store) -> Iterator[Root]:
    """Yields the heads of the present root and those before it, newest first, as far back as they are kept.

    A root that lost a race for its place is left out. One that cannot be read is passed over, which `verify` reports.
    Raises `StoreError`.
    """
    stored = state.get(MIRROR_INDEX)
    if stored is None:
        return
    expected: Digest | None = Digest.of(stored.body)
    kept = sorted(kept_roots(state), key=lambda one: one[0], reverse=True)
    present = next((serial for serial, digest in kept if digest == expected), None)
    names = iter([one for one in kept if present is None or one[0] <= present])
    while batch := list(islice(names, AT_ONCE)):
        found = heads(state, batch)
        for _, same in groupby(batch, key=lambda one: one[0]):
            # Of several roots with one serial, one was swapped in: the one that the next root names.
            readable = [root for root in map(found.get, same) if root]
            root = next((one for one in readable if one.digest == expected), next(iter(readable), None))
            if root:
                expected = root.origin.previous
                yield root


def kept_roots(state: Store) -> list[tuple[int, Digest]]:
    """Lists the serials and digests of all roots that are kept, in no order."""
    found = (parse_root_key(row.key) for row in state.list(ROOTS))
    return [one for one in found if one]


def newest_serial(state: Store) -> int:
    """Returns the highest serial of a kept root, after which an index that was lost begins; 0 if there is none."""
    return max((serial for serial, _ in kept_roots(state)), default=0)


def heads(state: Store, names: list[tuple[int, Digest]]) -> dict[tuple[int, Digest], Root | None]:
    """Reads the heads of kept roots: None for one that is missing or damaged."""
    with threads(BLOB_WORKERS) as executor:
        return dict(each(executor, lambda name: read_head(state, *name), names))


def read_head(state: Store, serial: int, digest: Digest) -> Root | None:
    """Reads the head of a kept root without the rest; None if it is missing or damaged."""
    key = root_key(serial, digest)
    try:
        root = parse_head(b"".join(state.read(key, 0, HEAD) or ()), serial, digest)
        if root is None:
            stored = state.get(key)
            root = parse_head(stored.body, serial, digest) if stored else None
    except Malformed:
        return None
    return root


def verified_root(state: Store, serial: int, digest: Digest) -> Root | None:
    """Reads a whole kept root and returns its head; None if it is missing, or its bytes are not those of its name."""
    stored = state.get(root_key(serial, digest))
    try:
        return parse_head(stored.body, serial, digest) if stored and digest.matches(stored.body) else None
    except Malformed:
        return None


def load_root(state: Store, root: Root) -> MirrorIndex:
    """Reads the index that a kept root was. Raises as `read_root` does."""
    return read_root(state, root)[0]


def read_root(state: Store, root: Root, known: Known = NOTHING_KNOWN) -> tuple[MirrorIndex, Known]:
    """Reads the index that a kept root was, and what of it another root can share; `known`: that of one read before.

    Raises `IndexInvalid` if it, or what it names, is missing or damaged.
    """
    where = f"{state.name}/{root.key}"
    stored = state.get(root.key)
    if stored is None:
        raise damaged_state(where, "is missing")
    if not root.digest.matches(stored.body):
        raise damaged_state(where, "has other bytes than those that its name is the hash of")
    reader = state_reader(state, known)
    index = parse(stored.body, where, reader)
    return index, Known(index.repositories, reader.table, reader.digest) if reader.digest else NOTHING_KNOWN
