from __future__ import annotations

from datetime import date, timedelta

from reconciler.pulls.counts import Counts, counts_bytes
from reconciler.pulls.stored import read_counts
from reconciler.target.layout import JSON_HEADERS, counts_key, parse_counts_key
from reconciler.work.threads import readers
from tests.memory import MemoryStore

TODAY = date(2026, 11, 26)
ONE = {("a", "1"): 1}


def filled(*keys: str) -> MemoryStore:
    store = MemoryStore()
    for key in keys:
        day, _ = parse_counts_key(key) or (TODAY, "")
        store.put(key, counts_bytes(day, Counts(ONE, ONE)), JSON_HEADERS)
    return store


def test_the_days_asked_for_are_added_up_and_damage_is_left_out() -> None:
    days = [TODAY - timedelta(days=number) for number in range(3)]
    store = filled(*(counts_key(day, writer) for day in days for writer in ("one", "two")), "_mirror/pulls/other")
    damaged = counts_key(TODAY, "three")
    store.put(damaged, b"{", JSON_HEADERS)
    store.put("_mirror/pulls/2026-13-45/one.json", b"{", JSON_HEADERS)
    with readers(4) as executor:
        found = read_counts(store, TODAY - timedelta(days=1), TODAY, executor)
    assert found.counts.pulled == {("a", "1"): 4}
    assert (found.damaged, found.left) == ((damaged,), 0)


def test_only_the_latest_objects_are_read() -> None:
    days = [TODAY - timedelta(days=number) for number in range(5)]
    store = filled(*(counts_key(day, "one") for day in days))
    store.put(counts_key(days[-1], "one"), b"{", JSON_HEADERS)
    with readers(4) as executor:
        found = read_counts(store, days[-1], TODAY, executor, most=3)
    assert (found.left, found.counts.missed, found.damaged) == (2, {("a", "1"): 3}, ())
