"""The budget of requests of one host, on a simulated clock."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.http.rate import BURST, LONGEST_HOLD, Rate
from reconciler.work.deadline import NEVER, Deadline


@dataclass
class Clock:
    now: float = 0.0
    sleeps: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


@given(st.floats(0.1, 1000), st.integers(2, 200))
def test_no_more_requests_than_the_budget_and_one_burst(rate: float, count: int) -> None:
    clock = Clock()
    budget = Rate(rate, clock, clock.sleep)
    for _ in range(count):
        budget.take(NEVER)
    assert count <= rate * (clock.now + BURST) + 1 + 1e-6


def test_without_a_budget_nothing_waits() -> None:
    clock = Clock()
    budget = Rate(None, clock, clock.sleep)
    for _ in range(1000):
        budget.take(NEVER)
    assert clock.sleeps == []


@pytest.mark.parametrize(("asked", "wait"), [(7.0, 7.0), (None, 1.0), (10_000.0, LONGEST_HOLD)])
def test_after_a_429_all_threads_pause_as_the_host_asks(asked: float | None, wait: float) -> None:
    clock = Clock()
    budget = Rate(None, clock, clock.sleep)
    budget.hold(asked)
    budget.take(NEVER)
    budget.take(NEVER)
    assert clock.sleeps == [wait]


def test_no_wait_is_longer_than_the_run_has_left() -> None:
    clock = Clock()
    budget = Rate(None, clock, clock.sleep)
    budget.hold(30.0)
    budget.take(Deadline(5.0, clock))
    assert clock.sleeps == [5.0]
