"""The advisory lock: one at a time, for as long as it is renewed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import LockHeld, StoreUnreachable
from reconciler.index import format_time
from reconciler.layout import LOCK, LOCK_HEADERS
from reconciler.lock import LIFETIME, acquire, leave, read_lock, release, renew
from tests.memory import Fault, Killed, MemoryStore, put_json

if TYPE_CHECKING:
    from reconciler.layout import Headers
    from reconciler.store import Condition


def expire(store: MemoryStore) -> None:
    document = json.loads(store.objects[LOCK])
    past = format_time(datetime.now(UTC) - timedelta(seconds=1))
    put_json(store, LOCK, json.dumps({**document, "until": past}).encode())


def test_taken_and_given_back() -> None:
    store = MemoryStore()
    lock = acquire(store, "r2mirror apply")
    assert not lock.taken_over
    assert lock.until - lock.since == LIFETIME
    assert store.headers[LOCK] == LOCK_HEADERS
    release(store, lock)
    assert not store.objects


def test_a_second_one_is_told_who_since_when_and_until_when() -> None:
    store = MemoryStore()
    lock = acquire(store, "r2mirror apply")
    before = dict(store.objects)
    with pytest.raises(LockHeld) as caught:
        acquire(store, "r2mirror apply --yes")
    error = caught.value
    assert error.where == f"memory:bucket/{LOCK}"
    assert "'r2mirror apply'" in error.holder
    assert (error.since, error.until) == (format_time(lock.since), format_time(lock.until))
    assert store.objects == before
    assert lock.owner.rpartition(":")[2] not in str(error), "what proves the ownership is not told"


def test_one_that_ran_out_is_taken_over_and_its_holder_finds_out() -> None:
    store = MemoryStore()
    first = acquire(store, "first")
    expire(store)
    second = acquire(store, "second")
    assert second.taken_over
    with pytest.raises(LockHeld, match="'second'"):
        renew(store, first)
    release(store, first)
    left = read_lock(store)
    assert left is not None
    assert left.owner == second.owner, "nobody gives back the lock of another"


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"owner": 1}', b'{"owner":"a","command":"b","since":"c","until":"tomorrow"}']
)
def test_a_damaged_lock_blocks_nobody(body: bytes) -> None:
    store = MemoryStore({LOCK: body})
    assert acquire(store, "it").taken_over


def test_renewed_in_time_it_goes_on() -> None:
    store = MemoryStore()
    lock = acquire(store, "it")
    assert not lock.wants_renewal
    older = replace(lock, until=datetime.now(UTC) + LIFETIME / 2)
    assert older.wants_renewal
    renewed = renew(store, older)
    assert not renewed.wants_renewal
    left = read_lock(store)
    assert left is not None
    assert (left.owner, left.etag) == (lock.owner, renewed.etag)
    release(store, renewed)
    assert LOCK not in store.objects


def test_one_that_was_removed_by_hand_is_renewed_all_the_same() -> None:
    store = MemoryStore()
    lock = acquire(store, "it")
    store.objects.clear()
    renew(store, lock)
    assert LOCK in store.objects


class Faster(MemoryStore):
    """Another apply takes the lock between the read of it and the write."""

    def __init__(self, other: bytes) -> None:
        super().__init__()
        self._other = other

    def put(self, key: str, body: bytes, headers: Headers, condition: Condition | None = None) -> str:
        self.objects.setdefault(key, self._other)
        return super().put(key, body, headers, condition)


def test_a_race_for_the_lock_has_one_winner() -> None:
    winner = MemoryStore()
    acquire(winner, "winner")
    with pytest.raises(LockHeld, match="'winner'"):
        acquire(Faster(winner.objects[LOCK]), "loser")


def test_dying_while_taking_it_leaves_a_lock_that_runs_out() -> None:
    store = MemoryStore(fault=Fault(1, Killed(), answer_lost=True))
    with pytest.raises(Killed):
        acquire(store, "it")
    left = read_lock(MemoryStore(store.objects))
    assert left is not None
    assert left.until <= datetime.now(UTC) + LIFETIME


def test_one_that_is_left_blocks_nobody_and_is_found() -> None:
    store = MemoryStore()
    leave(store, acquire(store, "failed"))
    second = acquire(store, "second")
    assert second.taken_over
    before = dict(store.objects)
    leave(store, replace(second, owner="another"))
    assert store.objects == before, "nobody leaves the lock of another"


def test_leaving_a_store_that_is_gone_is_silent() -> None:
    store = MemoryStore(fault=Fault(2, StoreUnreachable("memory:bucket", "no answer")))
    leave(store, acquire(store, "failed"))
    assert LOCK in store.objects
