"""The lock: one holder at a time, for as long as it is renewed, by the store's clock alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import LockHeld, LockLost, PreconditionFailed, StoreError, StoreUnreachable
from reconciler.target import lock
from reconciler.target.layout import LOCK, LOCK_HEADERS
from reconciler.target.lock import LIFETIME, MARGIN, RENEW_EVERY, Holder, Witness, break_lock, held, read_lock
from tests.bench import Clock
from tests.memory import Fault, Killed, MemoryStore, put_json, put_lock

if TYPE_CHECKING:
    from reconciler.stores import Condition
    from reconciler.stores.headers import Headers


class SleepingClock(Clock):
    """Sleeps move it, and the store's clock as well."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__()
        self.store = store
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.store.seconds += seconds


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def clock(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> SleepingClock:
    clock = SleepingClock(store)
    monkeypatch.setattr(lock, "time", clock)
    return clock


def holder(store: MemoryStore) -> Holder:
    found = read_lock(store)
    assert found is not None
    return found


def test_taken_and_given_back(store: MemoryStore) -> None:
    with held(store, "r2mirror apply") as lease:
        assert not lease.taken_over
        lease.check()
        lease.confirm()
        assert (holder(store).left, store.headers[LOCK]) == (LIFETIME, LOCK_HEADERS)
        assert "'r2mirror apply'" in holder(store).who
    assert not store.objects


def test_a_second_one_is_told_who_since_when_and_how_to_break_it(store: MemoryStore) -> None:
    put_lock(store, "r2mirror apply", age=20)
    before = dict(store.objects)
    with pytest.raises(LockHeld) as caught, held(store, "r2mirror apply --yes"):
        pass
    error = caught.value
    assert (error.where, error.since, error.left) == (f"memory:bucket/{LOCK}", "2026-11-20T09:00:00Z", 100)
    assert all(words in str(error) for words in ("'r2mirror apply' on elsewhere", "--lock-timeout", "r2mirror unlock"))
    assert store.objects == before


def test_what_proves_the_ownership_is_not_told(store: MemoryStore) -> None:
    with held(store, "it") as lease:
        secret = holder(store).owner.rpartition(":")[2]
        assert len(secret) == 16
        with pytest.raises(LockHeld) as caught, held(store, "another"):
            pass
        assert secret not in str(caught.value)
        lease.confirm()


def test_only_the_store_s_clock_says_when_a_lock_has_run_out(store: MemoryStore) -> None:
    """Its times are years ago by the clock of this machine, and it holds all the same."""
    put_lock(store, "slow clock", age=LIFETIME - 1)
    assert not holder(store).has_run_out
    put_lock(store, "slow clock", age=LIFETIME)
    assert holder(store).has_run_out


def test_one_that_ran_out_is_taken_over_and_its_holder_finds_out(store: MemoryStore) -> None:
    with held(store, "first") as first:
        store.seconds += LIFETIME
        with held(store, "second") as second:
            assert second.taken_over
            first.check()
            with pytest.raises(LockLost, match="'second'"):
                first.confirm()
            with pytest.raises(LockLost):
                first.check()
            second.unfinished = False
        assert LOCK not in store.objects
    assert LOCK not in store.objects


def test_a_run_never_releases_the_lock_of_another(store: MemoryStore) -> None:
    with held(store, "first"):
        store.seconds += LIFETIME
        put_lock(store, "second")
    assert "'second'" in holder(store).who
    assert not holder(store).has_run_out


def test_a_holder_that_cannot_renew_stops_before_anybody_may_take_over(
    store: MemoryStore, clock: SleepingClock
) -> None:
    with held(store, "it") as lease:
        clock.now += LIFETIME - MARGIN
        lease.check()
        clock.now += 1
        with pytest.raises(LockLost, match="could not be renewed in time"):
            lease.check()


def test_renewed_in_time_it_goes_on(store: MemoryStore, clock: SleepingClock) -> None:
    with held(store, "it") as lease:
        for _ in range(5):
            clock.sleep(LIFETIME - MARGIN)
            lease.renew()
            lease.confirm()
        assert holder(store).left == LIFETIME


def test_it_is_renewed_in_the_background(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    renewed = threading.Event()
    monkeypatch.setattr(lock, "RENEW_EVERY", 0.01)
    monkeypatch.setattr(lock.Lease, "renew", lambda _: renewed.set())
    with held(store, "it"):
        assert renewed.wait(10)


def test_a_renewal_that_fails_is_tried_again_until_it_is_too_late(clock: SleepingClock) -> None:
    store = MemoryStore(fault=Fault(2, StoreUnreachable("memory:bucket", "no answer")))
    with held(store, "it") as lease:
        lease.renew()
        lease.check()
        clock.now += LIFETIME
        lease.renew()
        with pytest.raises(LockLost):
            lease.check()


def test_a_holder_whose_lock_was_removed_stops(store: MemoryStore) -> None:
    with held(store, "it") as lease:
        store.objects.clear()
        lease.renew()
        with pytest.raises(LockLost, match="removed"):
            lease.check()
    assert not store.objects


def test_a_broken_lock_is_free_at_once_and_its_holder_stops(store: MemoryStore) -> None:
    with held(store, "hangs") as lease:
        break_lock(store, holder(store))
        with pytest.raises(LockLost, match="r2mirror unlock"):
            lease.confirm()
    with held(store, "next") as following:
        assert following.taken_over, "the sign of a run that did not finish stays"


def test_a_lock_that_was_renewed_or_changed_hands_is_not_broken(store: MemoryStore, clock: SleepingClock) -> None:
    with held(store, "it") as lease:
        seen = holder(store)
        clock.sleep(1.0)
        put_lock(store, "another")
        with pytest.raises(PreconditionFailed):
            break_lock(store, seen)
        with pytest.raises(LockLost):
            lease.confirm()


def test_waiting_for_another_ends_with_it(store: MemoryStore, clock: SleepingClock) -> None:
    put_lock(store, "another", age=100)
    told: list[LockHeld] = []
    with held(store, "it", 60, told.append) as lease:
        assert lease.taken_over
    assert len(told) == 1
    assert sum(clock.slept) == pytest.approx(20, abs=lock.LOOK_EVERY)


def test_waiting_has_an_end(store: MemoryStore, clock: SleepingClock) -> None:
    put_lock(store, "another")
    with pytest.raises(LockHeld), held(store, "it", 7):
        pass
    assert sum(clock.slept) == pytest.approx(7)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"owner": 1}',
        b'{"owner":"a","command":"b","since":"c","renewed":"2026-11-20T10:00:00Z","until":"tomorrow"}',
        b'{"owner":"a","command":"b","since":"c","renewed":"2026-11-20T10:00:00Z","until":"2026-11-20T09:00:00Z"}',
    ],
)
def test_a_damaged_lock_does_not_block(store: MemoryStore, body: bytes) -> None:
    put_json(store, LOCK, body)
    with held(store, "it") as lease:
        assert lease.taken_over


def test_a_lock_cannot_be_made_to_last_longer_than_any(store: MemoryStore) -> None:
    times = {"since": "x", "renewed": "2026-11-20T10:00:00Z", "until": "2999-11-20T10:00:00Z"}
    put_json(store, LOCK, json.dumps({"owner": "a", "command": "b", **times}).encode())
    assert holder(store).left == LIFETIME


class Faster(MemoryStore):
    """Another run takes the lock between the read of it and the write."""

    def put(self, key: str, body: bytes, headers: Headers, condition: Condition | None = None) -> str:
        put_lock(self, "winner")
        return super().put(key, body, headers, condition)


def test_a_race_for_the_lock_has_one_winner() -> None:
    with pytest.raises(LockHeld, match="'winner'"), held(Faster(), "loser"):
        pass


def test_of_many_at_once_one_at_a_time_has_it(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "LOOK_EVERY", 0.001)
    inside: list[str] = []
    most = 0

    def work(name: str) -> None:
        nonlocal most
        with held(store, name, 60) as lease:
            inside.append(name)
            most = max(most, len(inside))
            lease.confirm()
            inside.remove(name)

    with ThreadPoolExecutor(8) as executor:
        assert len(list(executor.map(work, [str(number) for number in range(40)]))) == 40
    assert most == 1
    assert LOCK not in store.objects


def test_dying_while_taking_it_leaves_a_lock_that_runs_out() -> None:
    store = MemoryStore(fault=Fault(1, Killed(), answer_lost=True))
    with pytest.raises(Killed), held(store, "it"):
        pass
    assert 0 < holder(MemoryStore(store.objects)).left <= LIFETIME


def test_an_unfinished_run_leaves_a_sign_that_does_not_block(store: MemoryStore) -> None:
    with held(store, "failed") as lease:
        lease.unfinished = True
    assert holder(store).has_run_out
    with held(store, "second") as second:
        assert second.taken_over


def test_leaving_a_store_that_is_gone_is_said_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore(fault=Fault(2, StoreUnreachable("memory:bucket", "no answer")))
    with held(store, "failed"):
        pass
    assert LOCK in store.objects
    assert caplog.messages == [
        "the lock could not be given back, and runs out within 120 s: memory:bucket: no answer",
    ]


class Undeletable(MemoryStore):
    def delete(self, keys: Iterable[str]) -> None:
        raise StoreError(f"{self.name}/{next(iter(keys))}", "not deleted: ObjectLocked")


def test_a_lock_that_cannot_be_removed_is_ended_in_place_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    store = Undeletable()
    with held(store, "first"):
        pass
    assert holder(store).has_run_out
    assert caplog.messages == [
        f"the lock could not be removed, and is ended in place: memory:bucket/{LOCK}: not deleted: ObjectLocked"
    ]
    with held(store, "second"):
        pass


def looks(store: MemoryStore) -> int:
    return sum(operation == ("get", LOCK) for operation in store.operations)


def test_a_witness_may_write_as_long_as_the_holder_may(store: MemoryStore, clock: SleepingClock) -> None:
    with held(store, "it") as lease:
        witness = Witness(store.shared(), lease.owner)
        witness.check()
        for _ in range(5):
            clock.sleep(RENEW_EVERY)
            lease.renew()
            witness.check()
        clock.sleep(LIFETIME - MARGIN - 1)
        lease.check()
        witness.check()
        clock.sleep(1.5)
        for one in (lease, witness):
            with pytest.raises(LockLost, match="in time"):
                one.check()


def test_a_witness_looks_every_20_seconds_however_often_it_is_asked(store: MemoryStore, clock: SleepingClock) -> None:
    with held(store, "it") as lease:
        theirs = store.shared()
        witness = Witness(theirs, lease.owner)
        for _ in range(100):
            witness.check()
        assert looks(theirs) == 1
        clock.sleep(RENEW_EVERY)
        lease.renew()
        witness.check()
        assert looks(theirs) == 2


@pytest.mark.usefixtures("clock")
def test_a_witness_sees_that_the_lock_is_gone_or_another_s(store: MemoryStore) -> None:
    with held(store, "it") as lease:
        owner = lease.owner
    with pytest.raises(LockLost, match="does not see it; every worker has to reach the same bucket"):
        Witness(store, owner).check()
    with held(store, "another"), pytest.raises(LockLost, match="now it is held by 'another'"):
        Witness(store, owner).check()
