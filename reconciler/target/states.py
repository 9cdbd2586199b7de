"""Reads and writes the immutable objects of a large mirror index; those that this machine has cached are not fetched.

Each is verified by the hash that names it, wherever it comes from. What does not match is damage, and is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from reconciler.cache import Cache
from reconciler.errors import IndexInvalid, Malformed
from reconciler.frozen import Frozen
from reconciler.oci.spec import Digest
from reconciler.target import index_states
from reconciler.target.index_root import named_objects
from reconciler.target.index_states import (
    Row,
    Table,
    inline,
    members,
    parse_group,
    parse_pending_object,
    parse_table,
    pending_body,
    pending_document,
    regrouped,
    states_content,
    table_body,
    with_pending,
)
from reconciler.target.layout import STATE_HEADERS, state_key
from reconciler.work.threads import BLOB_WORKERS, each, threads

if TYPE_CHECKING:
    from reconciler.stores import Store
    from reconciler.target.index import MirrorIndex, RepositoryState

Parsed = TypeVar("Parsed")

CACHE = Cache("state", entries=4000, entry_bytes=512 * 1024)
"""The groups of an index of a million tags, about 100 KiB each."""


class Known(Frozen):
    """An index whose groups are in memory already: its repositories, the table of its groups and the table's digest."""

    repositories: Mapping[str, RepositoryState]
    table: Table = ()
    digest: Digest | None = None


NOTHING_KNOWN = Known({})


class StateReader:
    """Reads the repositories of a root that names a table: the `States` of `index_json.parse`. `table` is it then.

    name    of the store, or its URL
    get     returns the object under a key, None if there is none
    known   groups that need not be read
    most    bytes that may be read; None: any number
    cached  whether what this machine has cached counts
    """

    def __init__(
        self,
        name: str,
        get: Callable[[str], bytes | None],
        known: Known = NOTHING_KNOWN,
        most: int | None = None,
        *,
        cached: bool = True,
    ) -> None:
        self._name = name
        self._get = get
        self._known = known
        self._most = most
        self._cached = cached
        self.table: Table = ()
        self.digest: Digest | None = None

    def __call__(self, document: dict[str, Any]) -> dict[str, RepositoryState]:
        """Returns the repositories. Raises `Malformed`, `IndexInvalid` for a damaged object, and `StoreError`."""
        self.digest, pending = named_objects(document)
        if self.digest is None:
            raise Malformed("states", "expected a sha256 digest")
        self.table = self._known.table if self.digest == self._known.digest else self.read_table(self.digest)
        if self._most is not None and sum(row.size for row in self.table) > self._most:
            raise Malformed("states", f"expected at most {self._most} bytes of them")
        repositories = self._held(self.table)
        return with_pending(repositories, self._pending(pending) if pending else document.get("pending", {}))

    def body(self, digest: Digest, size: int | None = None) -> bytes:
        """Returns the object that `digest` names. Raises `IndexInvalid` if it is missing or damaged."""
        where = f"{self._name}/{state_key(digest)}"
        cached = CACHE.get(digest.hex) if self._cached else None
        # A power failure can cut an entry short.
        if cached is not None and digest.matches(cached):
            return cached
        body = self._get(state_key(digest))
        if body is None:
            raise damaged_state(where, "is missing")
        if not digest.matches(body) or size not in (None, len(body)):
            raise damaged_state(where, "has other bytes than those that its name is the hash of")
        CACHE.put(digest.hex, body)
        return body

    def read_table(self, digest: Digest) -> Table:
        """Returns the groups that a table names. Raises `IndexInvalid` for a damaged one, and `StoreError`."""
        return self._parsed(digest, parse_table)

    def _pending(self, digest: Digest) -> Any:
        return self._parsed(digest, parse_pending_object)

    def _group(self, row: Row) -> dict[str, RepositoryState]:
        return self._parsed(row.digest, parse_group, row.size)

    def _parsed(self, digest: Digest, parse: Callable[[bytes, str], Parsed], size: int | None = None) -> Parsed:
        where = f"{self._name}/{state_key(digest)}"
        try:
            return parse(self.body(digest, size), where)
        except Malformed as error:
            raise damaged_state(where, f"is not what r2mirror writes ({error.what}: {error.why})") from None

    def _held(self, table: Table) -> dict[str, RepositoryState]:
        """Returns the repositories of all groups: those of groups that are known, and those that are read."""
        known = dict(zip((row.digest for row in self._known.table), self._members_known(), strict=True))
        groups = {
            row.digest: {name: self._known.repositories[name] for name in known[row.digest]}
            for row in table
            if row.digest in known
        }
        wanted = [row for row in table if row.digest not in groups]
        if wanted:
            with threads(BLOB_WORKERS) as executor:
                groups |= {row.digest: found for row, found in each(executor, self._group, wanted)}
        repositories: dict[str, RepositoryState] = {}
        for row in table:
            found = groups[row.digest]
            if min(found, default="") != row.first or not repositories.keys().isdisjoint(found):
                raise damaged_state(state_key(row.digest), "holds other repositories than its table says")
            repositories |= found
        return repositories

    def _members_known(self) -> list[tuple[str, ...]]:
        return members(self._known.repositories, self._known.table) if self._known.table else []


def state_reader(state: Store, known: Known = NOTHING_KNOWN, *, cached: bool = True) -> StateReader:
    """Returns what reads the repositories of a root in the store `state`."""

    def get(key: str) -> bytes | None:
        stored = state.get(key)
        return stored.body if stored else None

    return StateReader(state.name, get, known, cached=cached)


def put_states(state: Store, after: MirrorIndex, known: Known) -> tuple[bytes | None, Known]:
    """Writes the objects that `after` has and `known` has not.

    Returns the fields of the root that name them, and what is known from now on; None and nothing if `after` is small
    enough to be whole in the root. A root may name an object only after it was written.
    """
    content = inline(after, known.table)
    if content is not None:
        return content, NOTHING_KNOWN
    rows = []
    for row, body in regrouped(after.repositories, known.repositories, known.table):
        if body is not None:
            _put(state, row.digest, body)
        rows.append(row)
    table = table_body(rows)
    digest = Digest.of(table)
    if digest != known.digest:
        _put(state, digest, table)
    return states_content(digest, _put_pending(state, after)), Known(after.repositories, tuple(rows), digest)


def _put_pending(state: Store, after: MirrorIndex) -> dict[str, list[str]] | Digest:
    pending = pending_document(after.repositories)
    body = pending_body(pending)
    if len(body) < index_states.PENDING:
        return pending
    digest = Digest.of(body)
    state.put(state_key(digest), body, STATE_HEADERS)
    return digest


def _put(state: Store, digest: Digest, body: bytes) -> None:
    # Without a condition: what is there under this name already has these bytes, or is damaged.
    state.put(state_key(digest), body, STATE_HEADERS)
    CACHE.put(digest.hex, body)


def damaged_state(where: str, why: str) -> IndexInvalid:
    """The error for an object of the mirror index that is not what its name says."""
    return IndexInvalid(
        where,
        f"this part of the mirror index {why}; put a good copy back under this key, or copy an earlier root from "
        "_mirror/roots/ to _mirror/index.json, or let `r2mirror adopt` build the index anew from what the store holds",
    )
