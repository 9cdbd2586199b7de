from __future__ import annotations

from reconciler.access.failures import MAX_FAILURES, MAX_REMEMBERED, WINDOW, Failures


def test_after_many_failures_a_client_waits_until_the_minute_is_over() -> None:
    failures = Failures()
    for second in range(MAX_FAILURES):
        assert failures.retry_after("1.2.3.4", "ci", second) == 0
        failures.add("1.2.3.4", "ci", second)
    assert failures.retry_after("1.2.3.4", "ci", MAX_FAILURES) == WINDOW - MAX_FAILURES
    assert failures.retry_after("1.2.3.4", "other", MAX_FAILURES) == 0
    assert failures.retry_after("1.2.3.5", "ci", MAX_FAILURES) == 0, "others are not kept out"
    assert failures.retry_after("1.2.3.4", "ci", WINDOW) == 0
    failures.add("1.2.3.4", "ci", WINDOW)
    assert failures.retry_after("1.2.3.4", "ci", WINDOW) == 0, "it is counted anew"


def test_memory_is_bounded_and_the_oldest_makes_room() -> None:
    failures = Failures()
    for number in range(3 * MAX_REMEMBERED):
        failures.add(str(number), "n" * 10_000, 0)
    for _ in range(MAX_FAILURES):
        failures.add("it", "ci", 0)
    for number in range(MAX_REMEMBERED - 1):
        failures.add(str(number), "x", 0)
    assert failures.retry_after("it", "ci", 0) == WINDOW
    failures.add("one more", "x", 0)
    assert failures.retry_after("it", "ci", 0) == 0
