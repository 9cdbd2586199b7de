"""The index in the store: read, written conditionally, and merged with a concurrent write."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import IndexInvalid, IndexVersion, PreconditionFailed
from reconciler.oci.spec import OCI_MANIFEST, Digest
from reconciler.target.index import MirrorIndex, TagState
from reconciler.target.index_changes import published
from reconciler.target.layout import JSON_HEADERS, MIRROR_INDEX
from reconciler.target.ledger import WRITE_ATTEMPTS, StoredIndex, read_index, write_index
from tests.chain import other_writes, without_kept
from tests.memory import MemoryStore, Operation

if TYPE_CHECKING:
    from reconciler.stores import Condition
    from reconciler.stores.headers import Headers

NOW = datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC)


def tagging(tag: str) -> Callable[[MirrorIndex], MirrorIndex]:
    state = TagState(Digest.of(tag.encode()), OCI_MANIFEST, 1, None, NOW)
    return lambda index: published(index, "a", "s", {tag: state}, NOW)


def test_no_index_yet() -> None:
    store = MemoryStore()
    assert read_index(store) == StoredIndex(MirrorIndex(), None)
    written = write_index(store, read_index(store), tagging("1"))
    assert written.index.serial == 1
    assert read_index(store) == written
    assert store.headers[MIRROR_INDEX] == JSON_HEADERS


def test_without_a_change_nothing_is_written() -> None:
    store = MemoryStore()
    written = write_index(store, read_index(store), tagging("1"))
    count = len(store.operations)
    assert write_index(store, written, tagging("1")) is written
    assert len(store.operations) == count


@pytest.mark.parametrize("known", [0, 1])
def test_a_conflict_is_merged_and_no_tag_is_lost(known: int) -> None:
    store = MemoryStore()
    for number in range(known):
        write_index(store, read_index(store), tagging(f"known-{number}"))
    mine = theirs = read_index(store)
    write_index(store, theirs, tagging("theirs"))
    written = write_index(store, mine, tagging("mine"))
    assert {"mine", "theirs"} <= written.index.repositories["a"].tags.keys()
    assert written.index.serial == known + 2
    assert read_index(store) == written


class Busy(MemoryStore):
    """Somebody else always writes the index first."""

    def put(self, key: str, body: bytes, headers: Headers, condition: Condition | None = None) -> str:
        self.objects.pop(key, None)
        super().put(key, b'{"version":1,"serial":%d,"repositories":{}}' % len(self.operations), headers)
        return super().put(key, body, headers, condition)


def test_after_a_few_conflicts_it_gives_up() -> None:
    store = Busy()
    with pytest.raises(PreconditionFailed):
        write_index(store, read_index(store), tagging("1"))
    # Each attempt is a write of the other and one of ours; after the last there is no more reading.
    assert other_writes(store) == [Operation("put", MIRROR_INDEX)] * 2 * WRITE_ATTEMPTS
    assert store.operations.count(Operation("get", MIRROR_INDEX)) == WRITE_ATTEMPTS


def test_an_index_that_asks_for_a_newer_writer_is_read_and_not_written() -> None:
    store = MemoryStore({MIRROR_INDEX: b'{"version":2,"min_writer":9,"serial":3,"repositories":{}}'})
    before = dict(store.objects)
    observed = read_index(store)
    assert observed.index.serial == 3
    assert write_index(store, observed, lambda index: index) is observed
    with pytest.raises(IndexVersion, match="asks for writer 9, this r2mirror is writer 3"):
        write_index(store, observed, tagging("1"))
    assert store.objects == before


def test_a_damaged_index_is_named_and_never_written_over() -> None:
    store = MemoryStore({MIRROR_INDEX: b"{"})
    with pytest.raises(IndexInvalid, match=f"memory:bucket/{MIRROR_INDEX}"):
        read_index(store)
    with pytest.raises(IndexInvalid):
        write_index(store, StoredIndex(MirrorIndex(), None), tagging("1"))
    assert without_kept(store.objects) == {MIRROR_INDEX: b"{"}
