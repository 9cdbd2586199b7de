"""The rate of triggers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.triggers.buckets import TokenBucket


@given(st.lists(st.floats(0, 20), max_size=60))
def test_no_more_than_the_burst_and_the_rate_pass(waits: list[float]) -> None:
    now = [0.0]
    bucket = TokenBucket(2, 5, lambda: now[0])
    passed = 0
    for wait in waits:
        now[0] += wait
        passed += bucket.take() == 0
        assert passed <= 5 + 2 * now[0] + 1e-6


def test_after_the_time_that_it_names_a_request_passes() -> None:
    now = [0.0]
    bucket = TokenBucket(0.1, 1, lambda: now[0])
    assert [bucket.take(), bucket.take()] == [0, 10]
    now[0] += 10
    assert bucket.take() == 0
