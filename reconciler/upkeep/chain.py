"""Verifies the chain of the mirror index: every kept root, what it names, and that it names the one before it.

What is damaged cannot be mended: bytes that have a given hash cannot be made up. Only the copy of the present root can
be written again, because the root itself has its bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from reconciler.errors import IndexInvalid
from reconciler.oci.spec import Digest
from reconciler.target.index_root import parse_head
from reconciler.target.layout import MIRROR_INDEX, ROOTS, STATE_HEADERS, STATES, parse_root_key, root_key
from reconciler.target.roots import verified_root
from reconciler.target.states import state_reader
from reconciler.upkeep.defects import Defect, DefectKind
from reconciler.work.threads import BLOB_WORKERS, each, threads

if TYPE_CHECKING:
    from reconciler.stores import Store
    from reconciler.target.index_root import Root

LOST = (
    "the versions of the mirror index that it belongs to cannot be restored; put a good copy back under this key, or "
    "let `r2mirror gc` remove them when `history` is over"
)


def check_chain(state: Store) -> list[Defect]:
    """Returns what is wrong with the chain of the mirror index, by key. Changes nothing.

    A chain begins with the oldest root that is kept, and anew where the index was lost. Raises `StoreError`.
    """
    stored = state.get(MIRROR_INDEX)
    if stored is None:
        return []
    present = parse_head(stored.body, None, Digest.of(stored.body))
    names = [name for name in (parse_root_key(row.key) for row in state.list(ROOTS)) if name]
    with threads(BLOB_WORKERS) as executor:
        found = dict(each(executor, lambda name: verified_root(state, *name), names))
    defects = [_damaged(root_key(*name)) for name in names if found[name] is None]
    roots = [root for root in found.values() if root]
    # Version 2 and what was put there by hand have no copy, and no chain that one could be missing from.
    if present and present.origin.by and present.key not in {root_key(*name) for name in names}:
        detail = "the copy of the present root, which `verify --repair` writes again"
        defects.append(Defect(None, present.key, DefectKind.MISSING, detail))
    kept = {root.digest: root for root in (*roots, *([present] if present else []))}
    return [*defects, *_gaps(dict(kept), present), *_parts(state, kept.values())]


def _damaged(key: str) -> Defect:
    return Defect(None, key, DefectKind.WRONG_BYTES, f"its bytes do not have the hash that names them: {LOST}")


def _gaps(kept: dict[Digest, Root], present: Root | None) -> Iterator[Defect]:
    """The roots in the present chain that name one before them which is not there, though older ones are.

    Removes from `kept` what it has seen.
    """
    oldest = min((root.serial for root in kept.values()), default=0)
    root = present
    while root:
        before = kept.pop(root.origin.previous, None) if root.origin.previous else None
        if before is None and root.origin.previous and root.serial > oldest + 1:
            detail = f"version {root.serial} names it as the one before it: {LOST}"
            yield Defect(None, root_key(root.serial - 1, root.origin.previous), DefectKind.MISSING, detail)
            before = max(
                (one for one in kept.values() if one.serial < root.serial), key=lambda o: o.serial, default=None
            )
            if before:
                kept.pop(before.digest)
        root = before


def _parts(state: Store, roots: Collection[Root]) -> Iterator[Defect]:
    """The objects that roots name which are missing or damaged; each is read once."""
    # Never from the cache: it is the store that is verified.
    reader = state_reader(state, cached=False)
    wrong: dict[str, str] = {}

    def is_right(digest: Digest) -> None:
        try:
            reader.body(digest)
        except IndexInvalid as error:
            wrong[error.what] = error.why

    named = {root.pending for root in roots if root.pending}
    for table in {root.states for root in roots if root.states}:
        try:
            named |= {row.digest for row in reader.read_table(table)}
        except IndexInvalid as error:
            wrong[error.what] = error.why
    with threads(BLOB_WORKERS) as executor:
        for _ in each(executor, is_right, named):
            pass
    for what, why in sorted(wrong.items()):
        key = STATES + what.rpartition(STATES)[2]
        yield Defect(None, key, DefectKind.MISSING if "is missing" in why else DefectKind.WRONG_BYTES, why)


def mend_chain(state: Store, defects: Collection[Defect]) -> frozenset[Defect]:
    """Writes the copy of the present root again, if that is among the defects. Returns what is repaired."""
    stored = state.get(MIRROR_INDEX)
    present = parse_head(stored.body, None, Digest.of(stored.body)) if stored else None
    missing = frozenset(one for one in defects if present and one.key == present.key)
    if stored and present and missing:
        state.put(present.key, stored.body, STATE_HEADERS)
    return missing
