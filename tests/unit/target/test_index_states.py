"""A mirror index in groups: what is written is read back, and little of it is written when little has changed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.apply.outcome import Done
from reconciler.errors import IndexInvalid, Malformed
from reconciler.mirrors.patterns import Exact
from reconciler.oci.spec import OCI_INDEX, Digest
from reconciler.plan.diff import Action
from reconciler.target import index_states
from reconciler.target.index import MirrorIndex, RepositoryState, TagState
from reconciler.target.index_changes import begun, published
from reconciler.target.index_states import parse_group, parse_table, regrouped, table_body
from reconciler.target.layout import LOCK, MIRROR_INDEX, ROOTS, STATES, state_key
from reconciler.target.ledger import read_index, write_index
from tests import strategies as draw
from tests.bench import V1, Bench
from tests.memory import MemorySource, MemoryStore, mirror

if TYPE_CHECKING:
    from reconciler.stores import Condition
    from reconciler.stores.headers import Headers

NOW = datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few repositories are many."""
    monkeypatch.setattr(index_states, "INLINE", 1)
    monkeypatch.setattr(index_states, "MOST", 800)
    monkeypatch.setattr(index_states, "LEAST", 400)
    monkeypatch.setattr(index_states, "PENDING", 100)


@pytest.fixture
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "")


def state(number: int) -> TagState:
    digest = Digest.of(str(number).encode())
    images = {"linux/amd64": 30_000_000 + number, "linux/arm64": 29_000_000 + number}
    return TagState(digest, OCI_INDEX, 1610, None, NOW, images)


def mirror_of(repositories: int, tags: int) -> MirrorIndex:
    return MirrorIndex(
        0,
        {
            f"library/repository-{number:04}": RepositoryState(
                f"docker.io/library/repository-{number:04}",
                {f"3.{tag}-alpine": state(number * tags + tag) for tag in range(tags)},
                owner="default",
            )
            for number in range(repositories)
        },
    )


def sizes(store: MemoryStore) -> dict[str, int]:
    """Bytes of the objects that were written, by what they are."""
    found = dict.fromkeys((MIRROR_INDEX, ROOTS, STATES), 0)
    for _, key in store.writes:
        for kind in found:
            found[kind] += len(store.objects[key]) if key.startswith(kind) else 0
    return found


def fresh(store: MemoryStore) -> MemoryStore:
    return store.shared()


@pytest.mark.usefixtures("small", "no_cache")
@given(first=draw.indexes, second=draw.indexes)
@pytest.mark.slow
def test_any_index_becomes_any_other(first: MirrorIndex, second: MirrorIndex) -> None:
    store = MemoryStore()
    for wanted in (first, second):
        write_index(store, read_index(store), lambda index, wanted=wanted: replaced(index, wanted))  # type: ignore[misc]
        read = read_index(store)
        assert read.index.repositories == wanted.repositories
        assert {name: one.pending for name, one in read.index.repositories.items()} == {
            name: one.pending for name, one in wanted.repositories.items()
        }


def replaced(index: MirrorIndex, wanted: MirrorIndex) -> MirrorIndex:
    return MirrorIndex(index.serial, wanted.repositories)


@given(st.binary() | draw.json_values.map(lambda value: repr(value).encode()))
def test_any_bytes_are_a_table_and_a_group_or_malformed(body: bytes) -> None:
    for parse in (parse_table, parse_group):
        with suppress(Malformed):
            parse(body, "it")


def test_a_table_is_read_as_it_was_written() -> None:
    index = mirror_of(20, 100)
    rows = tuple(row for row, _ in regrouped(index.repositories, {}, ()))
    assert len(rows) > 3
    assert parse_table(table_body(rows), "it") == rows
    assert all(row.size <= index_states.MOST for row in rows)
    again = [body for _, body in regrouped(index.repositories, index.repositories, rows)]
    assert again == [None] * len(rows), "nothing has changed, so nothing is even serialised"


def test_repositories_that_go_leave_few_groups() -> None:
    index = mirror_of(200, 30)
    rows = tuple(row for row, _ in regrouped(index.repositories, {}, ()))
    left = {name: one for number, (name, one) in enumerate(index.repositories.items()) if number % 20 == 0}
    after = [row for row, _ in regrouped(left, index.repositories, rows)]
    assert len(after) <= 2 < len(rows)


@pytest.fixture(scope="module")
def large() -> MemoryStore:
    """100,000 tags in 1,000 repositories."""
    store = MemoryStore()
    wanted = mirror_of(1000, 100)
    write_index(store, read_index(store), lambda index: replaced(index, wanted))
    return store


@pytest.mark.slow
def test_of_100000_tags_one_changes_and_an_apply_writes_less_than_256_kib(large: MemoryStore) -> None:
    store = MemoryStore(large.objects)
    target = "library/repository-0417"
    source = f"docker.io/{target}"
    observed = write_index(store, read_index(store), lambda index: begun(index, target, source, ["3.7-alpine"]))
    assert sizes(store)[STATES] == 0, "what is pending is in the root"
    write_index(store, observed, lambda index: published(index, target, source, {"3.7-alpine": state(-1)}, NOW))
    written = sizes(store)
    assert sum(written.values()) < 256 * 1024, written
    assert max(written[MIRROR_INDEX], written[ROOTS]) < 4096
    assert written[STATES] > 16 * 1024
    assert len(store.writes) == 6, "two roots, each kept, and the second with a group and a table"
    assert read_index(store).index.repositories[target].tags["3.7-alpine"] == state(-1)


class Weighing(MemoryStore):
    """Weighs what is written, by key."""

    def __init__(self, objects: Mapping[str, bytes]) -> None:
        super().__init__(objects)
        self.weighed: list[tuple[str, int]] = []

    def put(self, key: str, body: bytes, headers: Headers, condition: Condition | None = None) -> str:
        self.weighed.append((key, len(body)))
        return super().put(key, body, headers, condition)


@pytest.mark.rare
def test_of_100000_tags_one_changes_and_a_whole_apply_writes_less_than_256_kib(large: MemoryStore) -> None:
    target, tag = "library/repository-0417", "3.7-alpine"
    store = Weighing(large.objects)
    bench = Bench({target: MemorySource({tag: V1})}, store)
    one = mirror(target, Exact(tag), prune=False)
    plan = bench.plan(one)
    # The file has this mirror alone; what it no longer names is of no account here.
    plan = replace(plan, repositories=tuple(each for each in plan.repositories if each.target == target))
    (done,) = bench.apply(plan)
    assert isinstance(done, Done)
    assert done.change.action is Action.UPDATE
    written = [(key, size) for key, size in store.weighed if key.startswith("_mirror/")]
    assert 16 * 1024 < sum(size for _, size in written) < 256 * 1024, written
    assert sum(key.startswith(STATES) for key, _ in written) == 2, "a group and a table"
    assert len(written) < 10

    again = fresh(store)
    read_index(again)
    assert [key for _, key in again.operations] == [MIRROR_INDEX], "the next plan reads the root alone"


@pytest.mark.slow
def test_a_second_reading_on_this_machine_reads_the_root_alone(large: MemoryStore) -> None:
    read_index(fresh(large))
    store = fresh(large)
    assert len(read_index(store).index.repositories) == 1000
    assert [key for _, key in store.operations] == [MIRROR_INDEX]


@pytest.mark.slow
def test_what_has_changed_since_is_read_and_nothing_else(large: MemoryStore, no_cache: None) -> None:
    store = MemoryStore(large.objects)
    known = read_index(store)
    other = fresh(store)
    change = {"3.7-alpine": state(-1)}
    target = "library/repository-0417"
    write_index(other, read_index(other), lambda index: published(index, target, "s", change, NOW))
    again = fresh(store)
    assert read_index(again, known).index.repositories[target].tags["3.7-alpine"] == state(-1)
    kinds = [key.startswith(STATES) for _, key in again.operations]
    assert kinds == [False, True, True], "the root, the table and one group"


def test_a_small_mirror_reads_its_root_alone_and_writes_one_object_more() -> None:
    store = MemoryStore()
    write_index(store, read_index(store), lambda index: replaced(index, mirror_of(10, 100)))
    assert [key.startswith((MIRROR_INDEX, ROOTS)) for _, key in store.writes] == [True, True]
    again = fresh(store)
    assert len(read_index(again).index.repositories) == 10
    assert [key for _, key in again.operations] == [MIRROR_INDEX]


@pytest.mark.usefixtures("small", "no_cache")
@pytest.mark.parametrize("damage", [None, b"", b"{}", b"["], ids=["missing", "empty", "another", "broken"])
def test_a_damaged_part_is_named_with_what_to_do(damage: bytes | None) -> None:
    store = MemoryStore()
    write_index(store, read_index(store), lambda index: replaced(index, mirror_of(8, 3)))
    for key in [key for key in store.objects if key.startswith(STATES)]:
        broken = MemoryStore(store.objects)
        if damage is None:
            del broken.objects[key]
        else:
            broken.objects[key] = damage
        with pytest.raises(IndexInvalid, match=f"{key}.*_mirror/roots/.*adopt"):
            read_index(broken)


@pytest.mark.usefixtures("small")
def test_what_the_cache_has_is_never_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    store = MemoryStore()
    write_index(store, read_index(store), lambda index: replaced(index, mirror_of(8, 3)))
    folder = tmp_path / "r2mirror"
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in folder.iterdir():
        path.write_bytes(b'{"repositories":{}}')
    assert len(read_index(fresh(store)).index.repositories) == 8


@pytest.mark.usefixtures("small", "no_cache")
def test_pending_tags_of_a_large_apply_are_an_object_of_their_own() -> None:
    store = MemoryStore()
    observed = write_index(store, read_index(store), lambda index: replaced(index, mirror_of(8, 3)))
    many = [f"new-{number}" for number in range(50)]
    write_index(store, observed, lambda index: begun(index, "library/repository-0003", "s", many))
    assert b'"pending":"sha256:' in store.objects[MIRROR_INDEX]
    assert read_index(store).index.repositories["library/repository-0003"].pending == set(many)


def test_the_lock_is_not_a_part_of_it() -> None:
    assert not LOCK.startswith((ROOTS, STATES))
    assert state_key(Digest.of(b"")).startswith(STATES)
