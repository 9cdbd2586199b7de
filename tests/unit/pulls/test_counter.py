from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from reconciler.errors import StoreError, StoreUnreachable
from reconciler.pulls.counter import Counter
from tests.memory import Fault, MemoryStore

DAY, NEXT = date(2026, 11, 26), date(2026, 11, 27)


class Days:
    def __init__(self) -> None:
        self.today = DAY

    def __call__(self) -> date:
        return self.today


def stored(store: MemoryStore) -> list[tuple[str, Any]]:
    return [(key.split("/")[2], json.loads(body)) for key, body in sorted(store.objects.items())]


def test_a_day_of_one_writer_is_one_object() -> None:
    store, days = MemoryStore(), Days()
    counter = Counter(store, days)
    counter.asked("a", "1", is_there=True)
    counter.asked("b", "2", is_there=False)
    counter.flush()
    counter.asked("a", "1", is_there=True)
    counter.flush()
    first = {"version": 1, "day": "2026-11-26", "pulled": {"a": {"1": 2}}, "missed": {"b": {"2": 1}}}
    assert stored(store) == [("2026-11-26", first)]
    counter.asked("a", "1", is_there=True)
    days.today = NEXT
    counter.flush()
    counter.asked("a", "1", is_there=True)
    counter.flush()
    assert [(day, one["pulled"]) for day, one in stored(store)] == [
        ("2026-11-26", {"a": {"1": 3}}),
        ("2026-11-27", {"a": {"1": 1}}),
    ]


def test_without_news_nothing_is_written() -> None:
    store = MemoryStore()
    counter = Counter(store, Days())
    counter.flush()
    counter.asked("a", f"sha256-{'a' * 64}.sig", is_there=False)
    counter.asked("a", f"sha256-{'a' * 64}", is_there=False)
    counter.flush()
    assert store.objects == {}


def test_a_store_that_fails_costs_no_count(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore(fault=Fault(0, StoreUnreachable("memory", "is down"), lasting=False))
    counter = Counter(store, Days())
    counter.asked("a", "1", is_there=True)
    counter.flush()
    assert "the counts of pulls were not written" in caplog.text
    counter.flush()
    assert stored(store)[0][1]["pulled"] == {"a": {"1": 1}}


def test_a_place_that_cannot_be_written_to_is_found_out_at_the_start() -> None:
    store = MemoryStore(fault=Fault(0, StoreUnreachable("memory", "is down")))
    with pytest.raises(StoreError):
        Counter(store, Days()).begin()


def test_the_end_of_the_block_writes_what_was_counted() -> None:
    store = MemoryStore()
    counter = Counter(store, Days())
    with counter.flushing(every=3600):
        counter.asked("a", "1", is_there=True)
    assert stored(store)[0][1]["pulled"] == {"a": {"1": 1}}
