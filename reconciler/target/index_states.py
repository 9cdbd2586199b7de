"""The repositories of a large mirror index in immutable objects, a few in each; the root names a table of them. Pure.

    _mirror/index.json                      the root: {"states": <hash of the table>, "pending": {...}, ...}
    _mirror/state/sha256-<hex>.json         the table: {"groups": {<first repository>: [<hash>, <bytes>], ...}}
    _mirror/state/sha256-<hex>.json         a group: {"repositories": {...}}, a range of their names

Pending tags are in the root: an apply that is about to begin writes no state. A group whose repositories have not
changed keeps its object, and is not even serialised again.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

from reconciler.errors import Malformed
from reconciler.frozen import Frozen
from reconciler.oci.spec import Digest, load_json
from reconciler.target.index import RepositoryState
from reconciler.target.index_json import parse_pending, parse_repositories, repositories_content, repository_piece

if TYPE_CHECKING:
    from reconciler.target.index import MirrorIndex

INLINE = 1024 * 1024
"""Bytes of repositories from which on they are in objects of their own."""

MOST = 128 * 1024
LEAST = 64 * 1024
"""Bytes of a group from which on it is divided, and of two neighbours below which they become one. A repository is
never divided."""

PENDING = 64 * 1024
"""Bytes of pending tags from which on they are in an object of their own."""

MAX_GROUPS = 200_000
"""Groups in a table that is read: 25 GB of them."""

Repositories: TypeAlias = "Mapping[str, RepositoryState]"


class Row(Frozen):
    """A group in the table. `first`: the first name that it has; `size`: bytes of its object."""

    first: str
    digest: Digest
    size: int


Table: TypeAlias = "tuple[Row, ...]"


def inline(index: MirrorIndex, table: Table = ()) -> bytes | None:
    """Returns the root's field `repositories`, or None if that is too large. `table`: the groups until now."""
    size, pieces = 0, []
    # Well above the bound, nothing has to be serialised to know it.
    if sum(row.size for row in table) >= 2 * INLINE:
        return None
    for target, state in sorted(index.repositories.items()):
        pieces.append(repository_piece(target, state))
        size += len(pieces[-1])
        if size >= INLINE:
            return None
    return repositories_content(pieces)


def regrouped(after: Repositories, before: Repositories, table: Table) -> Iterator[tuple[Row, bytes | None]]:
    """Yields the groups of `after`, in order, each with its bytes, or with None if `table` has the same group.

    `before` is what the groups of `table` hold. The bytes of one group exist at a time.
    """
    for batch in _batches(after, before, table):
        if batch.row:
            yield batch.row, None
        else:
            for names, body in _divided(after, batch.names):
                yield Row(names[0], Digest.of(body), len(body)), body


class _Batch(Frozen):
    """Repositories that stay together, or are divided. `row`: their group, if nothing of it has changed."""

    names: tuple[str, ...]
    row: Row | None
    size: int


def _batches(after: Repositories, before: Repositories, table: Table) -> list[_Batch]:
    batches: list[_Batch] = []
    rows = table or (None,)
    for row, old, new in zip(rows, members(before, table), members(after, table), strict=True):
        if not new:
            continue
        same = row is not None and old == new and all(_is_same(after[name], before[name]) for name in new)
        # Roughly, for a group that has lost repositories or got new ones: its bytes are known only when it is written.
        size = row.size * len(new) // max(1, len(old)) if row else 0
        batch = _Batch(new, row if same else None, size)
        last = batches[-1] if batches else None
        if last and not (last.row and batch.row) and last.size + batch.size < LEAST:
            batches[-1] = _Batch(last.names + batch.names, None, last.size + batch.size)
        else:
            batches.append(batch)
    return batches


def members(repositories: Repositories, table: Table) -> list[tuple[str, ...]]:
    """Returns the names of each group of the table, sorted; all of them in one if it has none."""
    firsts = [row.first for row in table]
    found: list[list[str]] = [[] for _ in firsts or [""]]
    for name in sorted(repositories):
        found[max(0, bisect_right(firsts, name) - 1)].append(name)
    return [tuple(names) for names in found]


_FIELDS = tuple(one.name for one in fields(RepositoryState) if one.name != "pending")


def _is_same(one: RepositoryState, other: RepositoryState) -> bool:
    # By identity, because equal states can differ in fields that do not count. At worst a group is serialised in vain.
    return one is other or all(getattr(one, name) is getattr(other, name) for name in _FIELDS)


def _divided(repositories: Repositories, names: Iterable[str]) -> Iterator[tuple[list[str], bytes]]:
    """Yields groups of `names` with their bytes; all of them in one if that is small enough."""
    kept: list[str] = []
    pieces: list[bytes] = []
    for name in names:
        kept.append(name)
        pieces.append(repository_piece(name, replace(repositories[name], pending=frozenset())))
        while len(pieces) > 1 and sum(map(len, pieces)) > MOST:
            count = _half(pieces)
            yield kept[:count], _group_body(pieces[:count])
            kept, pieces = kept[count:], pieces[count:]
    yield kept, _group_body(pieces)


def _half(pieces: Sequence[bytes]) -> int:
    """How many of the first pieces make half of a group; never all of them."""
    size = 0
    for count, piece in enumerate(pieces[:-1], 1):
        size += len(piece)
        if size >= MOST // 2:
            return count
    return len(pieces) - 1


def _group_body(pieces: Iterable[bytes]) -> bytes:
    return b"{" + repositories_content(pieces) + b"}\n"


def table_body(table: Iterable[Row]) -> bytes:
    """Returns the bytes of the table."""
    groups = {row.first: [row.digest.hex, row.size] for row in table}
    return json.dumps({"groups": groups}, separators=(",", ":")).encode() + b"\n"


def parse_table(body: bytes, what: str) -> Table:
    """Reads a table. Raises `Malformed`, which names `what` it is."""
    match load_json(body, what, 3 * MAX_GROUPS):
        case {"groups": dict(groups)}:
            table = tuple(_row(first, entry, what) for first, entry in groups.items())
        case _:
            raise Malformed(what, "expected an object with groups")
    if any(one.first >= other.first for one, other in pairwise(table)):
        raise Malformed(what, "expected groups in the order of their names")
    return table


def _row(first: str, entry: Any, what: str) -> Row:
    match entry:
        case [str(value), int(size)] if 0 < size < 2**40:
            return Row(first, Digest.parse(f"sha256:{value}"), size)
        case _:
            raise Malformed(what, "expected the hash and the size of each group")


def parse_group(body: bytes, what: str) -> dict[str, RepositoryState]:
    """Reads a group. Raises `Malformed`."""
    match load_json(body, what):
        case {"repositories": dict(repositories)}:
            return parse_repositories(repositories)
        case _:
            raise Malformed(what, "expected an object with repositories")


def pending_document(repositories: Repositories) -> dict[str, list[str]]:
    """Writes the pending tags of all repositories; no repository without any."""
    return {target: sorted(state.pending) for target, state in sorted(repositories.items()) if state.pending}


def with_pending(repositories: Repositories, pending: Any) -> dict[str, RepositoryState]:
    """Returns the repositories with the pending tags that `pending_document` wrote. Raises `Malformed`."""
    if not isinstance(pending, dict) or not pending.keys() <= repositories.keys():
        raise Malformed("pending", "expected tags of repositories that the states have")
    tags = {target: parse_pending(entry, target) for target, entry in pending.items()}
    return {**repositories, **{target: replace(repositories[target], pending=found) for target, found in tags.items()}}


def parse_pending_object(body: bytes, what: str) -> Any:
    """Reads an object of pending tags, for `with_pending`. Raises `Malformed`."""
    match load_json(body, what):
        case {"pending": pending}:
            return pending
        case _:
            raise Malformed(what, "expected an object with pending")


def states_content(table: Digest, pending: dict[str, list[str]] | Digest) -> bytes:
    """Returns the root's fields that say where the repositories are."""
    named = pending if isinstance(pending, dict) else str(pending)
    fields_ = {"states": str(table), **({"pending": named} if named else {})}
    return json.dumps(fields_, separators=(",", ":")).encode()[1:-1]


def pending_body(pending: dict[str, list[str]]) -> bytes:
    """Returns the bytes of an object of pending tags."""
    return json.dumps({"pending": pending}, separators=(",", ":")).encode() + b"\n"
