"""Times of schedules: daylight saving both ways, the bounds of jitter, and that no run is missed or doubled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.mirrors.schedule import MOST_JITTER, Cron, Every, Schedule, cron_problem, zone_problem

NO_JITTER = timedelta()
BERLIN = ZoneInfo("Europe/Berlin")

seeds = st.text(max_size=8)
moments = st.datetimes(datetime(2024, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 hypothesis adds the zone
minutes = st.integers(1, 24 * 60).map(lambda number: timedelta(minutes=number))
crons = st.sampled_from(["17 3 * * *", "*/30 * * * *", "0 */6 * * *", "30 2 * * *", "0 4 * * SUN", "0 0 1 * *"])
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])


def times(schedule: Schedule, start: datetime, number: int, seed: str = "") -> list[datetime]:
    found = [start]
    for _ in range(number):
        found.append(schedule.after(found[-1], seed))
    return found[1:]


def local(schedule: Cron, start: str, number: int) -> list[str]:
    at = datetime.fromisoformat(start).replace(tzinfo=BERLIN)
    return [one.astimezone(BERLIN).isoformat() for one in times(schedule, at, number)]


@pytest.mark.parametrize(
    ("expression", "start", "expected"),
    [
        ("30 2 * * *", "2026-03-28T12:00", ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]),
        ("30 2 * * *", "2026-10-24T12:00", ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]),
        ("*/30 * * * *", "2026-03-29T01:15", ["2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00"]),
        (
            "0 * * * *",
            "2026-10-25T01:30",
            ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"],
        ),
    ],
)
def test_daylight_saving_skips_no_run_and_doubles_no_daily_one(
    expression: str, start: str, expected: list[str]
) -> None:
    assert local(Cron(expression, "Europe/Berlin", NO_JITTER), start, len(expected)) == expected


def test_a_day_of_25_hours_has_25_hourly_runs() -> None:
    start = datetime(2026, 10, 25, tzinfo=BERLIN) - timedelta(minutes=1)
    runs = times(Cron("0 * * * *", "Europe/Berlin", NO_JITTER), start, 26)
    assert [one - other for other, one in pairwise(runs)] == [timedelta(hours=1)] * 25
    assert runs[25].astimezone(BERLIN).isoformat() == "2026-10-26T00:00:00+01:00"


@given(minutes, moments, seeds)
def test_an_interval_has_a_run_in_each_of_its_periods(interval: timedelta, start: datetime, seed: str) -> None:
    runs = times(Every(interval), start, 5, seed)
    jitter = min(MOST_JITTER, interval / 10)
    assert all(interval - jitter <= one - other <= interval + jitter for other, one in pairwise(runs))
    assert start < runs[0] <= start + interval + jitter


@given(minutes, moments, seeds, st.floats(0, 0.99))
def test_a_jitter_of_up_to_the_interval_leaves_out_no_run(
    interval: timedelta, start: datetime, seed: str, share: float
) -> None:
    schedule = Every(interval, interval * share)
    runs = [one for one in times(schedule, start, 40, seed) if one <= start + 10 * interval]
    assert 9 <= len(runs) <= 11
    assert runs == sorted(set(runs))


@given(crons, zones, moments, seeds, st.none() | minutes)
def test_each_run_of_a_cron_expression_is_at_a_tick_or_within_the_jitter_after_it(
    expression: str, zone: str, start: datetime, seed: str, jitter: timedelta | None
) -> None:
    bound = MOST_JITTER if jitter is None else jitter
    at = Cron(expression, zone, jitter).after(start, seed)
    assert at > start
    tick = Cron(expression, zone, NO_JITTER).after(at - bound - timedelta(microseconds=1), seed)
    assert tick <= at
    assert Cron(expression, zone, NO_JITTER).after(start, seed) + bound >= at, "none is missed"


@given(st.one_of(st.builds(Every, minutes), st.builds(Cron, crons, zones)), moments, seeds)
def test_a_restart_before_a_run_keeps_its_time(schedule: Schedule, start: datetime, seed: str) -> None:
    at = schedule.after(start, seed)
    assert schedule.after(start + (at - start) * 0.9, seed) == at


def test_two_seeds_do_not_run_together() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for schedule in (Every(timedelta(hours=1)), Cron("17 3 * * *")):
        assert len({schedule.after(start, f"host {number}") for number in range(20)}) == 20


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("17 3 * * *", None),
        ("0 0 29 2 *", None),
        ("* * * *", "of five fields"),
        ("0 0 * * * *", "of five fields"),
        ("61 * * * *", "is not a valid cron expression: bad minute"),
        ("0 0 31 2 *", "is not a valid cron expression: bad day-of-month"),
        ("nightly", "of five fields"),
    ],
)
def test_an_expression_without_times_is_refused(expression: str, problem: str | None) -> None:
    found = cron_problem(expression)
    assert found is None if problem is None else problem in str(found)


@pytest.mark.parametrize("zone", ["Mars/Phobos", "", "../etc/passwd", "/etc/passwd", "Europe/\0", "Europe"])
def test_an_unknown_zone_is_refused(zone: str) -> None:
    assert zone_problem(zone)
    assert zone_problem("Europe/Berlin") is None
