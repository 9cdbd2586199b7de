"""Counts of a day become one object, and add up to the same whatever operation is the last one."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.pulls import merging
from reconciler.pulls.counts import MAX_COUNT, MAX_MISSED, Counts, counts_bytes, parse_counts, total
from reconciler.pulls.merging import Merge, merge, mergeable
from reconciler.pulls.stored import MERGED, Part, read_counts
from reconciler.target.compaction import COUNTS_KEPT
from reconciler.target.layout import JSON_HEADERS, counts_key
from reconciler.work.threads import readers
from tests.memory import Fault, Killed, MemoryStore

TODAY = date(2026, 11, 26)
DAY = TODAY - timedelta(days=2)


def put(store: MemoryStore, writer: str, counts: Counts, day: date = DAY) -> None:
    store.put(counts_key(day, writer), counts_bytes(day, counts), JSON_HEADERS)


def one(number: int, tag: str = "1") -> Counts:
    return Counts({("a", tag): number}, {("b", tag): number})


def counted(store: MemoryStore) -> Counts:
    with readers(1) as executor:
        return read_counts(store, DAY - timedelta(days=90), TODAY, executor).counts


def merge_all(store: MemoryStore) -> list[Merge]:
    with readers(1) as executor:
        return [merge(store, found, executor) for found in mergeable(store, TODAY)]


def test_days_that_are_settled_and_have_several_objects_are_merged() -> None:
    store = MemoryStore()
    alone, too_old, yesterday = (
        DAY - timedelta(days=1),
        TODAY - COUNTS_KEPT - timedelta(days=1),
        TODAY - timedelta(days=1),
    )
    for writer in ("one", "two"):
        for day in (DAY, too_old, yesterday, TODAY):
            put(store, writer, one(3), day)
    put(store, "one", one(5), alone)
    left = {counts_key(day, writer) for day in (too_old, yesterday, TODAY) for writer in ("one", "two")}
    assert merge_all(store) == [Merge(DAY, (Part(DAY, "one"), Part(DAY, "two")))]
    assert store.objects.keys() == {counts_key(DAY, MERGED), counts_key(alone, "one"), *left}
    assert parse_counts(store.objects[counts_key(DAY, MERGED)], "it") == Counts(
        {("a", "1"): 6}, {("b", "1"): 6}, frozenset({"one", "two"})
    )
    assert mergeable(store, TODAY) == ()


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from("xyz"), st.integers(1, 9)), min_size=1, max_size=4))
def test_killed_at_any_operation_nothing_is_lost_or_counted_twice(parts: list[tuple[str, int]]) -> None:
    store = MemoryStore()
    for number, (tag, count) in enumerate(parts):
        put(store, f"w{number}", one(count, tag))
    expected = total(one(count, tag) for tag, count in parts)
    clean = store.shared()
    objects = dict(store.objects)
    merge_all(clean)
    for at in range(len(clean.operations)):
        for lost in (False, True):
            killed = MemoryStore(objects, Fault(at, Killed(), answer_lost=lost))
            with pytest.raises(Killed):
                merge_all(killed)
            after = MemoryStore(killed.objects)
            assert counted(after) == expected
            # Another server comes late, and the next gc goes on from there.
            put(after, "late", one(1))
            late = total([expected, one(1)])
            assert counted(after) == late
            merge_all(after)
            assert counted(after) == late
            assert len(after.objects) == 1


def test_a_writer_that_writes_again_after_it_was_merged_does_not_count_twice() -> None:
    store = MemoryStore()
    put(store, "one", one(3))
    put(store, "two", one(4))
    merge_all(store)
    put(store, "one", one(3))
    assert counted(store) == one(7)
    assert [done.keys for done in merge_all(store)] == [(counts_key(DAY, "one"),)]
    assert counted(store) == one(7)


def test_damaged_objects_stay_and_a_damaged_merged_one_is_left_alone() -> None:
    store = MemoryStore()
    for writer in ("one", "two", "three"):
        put(store, writer, one(2))
    damaged = counts_key(DAY, "two")
    store.objects[damaged] = b"{"
    merge_all(store)
    assert store.objects.keys() == {damaged, counts_key(DAY, MERGED)}
    put(store, "four", one(1))
    store.objects[counts_key(DAY, MERGED)] = b'{"version":1,"pulled":{},"missed":{},"merged":[1]}'
    before = dict(store.objects)
    merge_all(store)
    assert store.objects == before


def test_what_is_merged_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    monkeypatch.setattr(merging, "MOST_OBJECTS", 4)
    monkeypatch.setattr(merging, "MAX_WRITERS", 5)
    for number in range(8):
        missed = {("b", f"{number}-{tag}"): 1 for tag in range(MAX_MISSED // 2)} | {("b", "often"): 9}
        put(store, f"w{number}", Counts({("a", "1"): MAX_COUNT}, missed))
    assert [len(done.parts) for done in merge_all(store)] == [4]
    whole = parse_counts(store.objects[counts_key(DAY, MERGED)], "it")
    assert whole.pulled == {("a", "1"): MAX_COUNT}
    assert len(whole.missed) == MAX_MISSED
    assert whole.missed["b", "often"] == 36
    assert [len(done.parts) for done in merge_all(store)] == [1], "there is room for one more writer"
    assert [len(done.parts) for done in merge_all(store)] == [0]
    assert len(store.objects) == 4
