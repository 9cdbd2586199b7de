"""Which run is due: schedules of their own, backoff by repository, missed runs, and a clock that is set back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.mirrors.only import matches_only
from reconciler.mirrors.patterns import Glob
from reconciler.mirrors.schedule import Cron, Every
from reconciler.watch.timetable import EVERYTHING, FIRST, LONGEST, Entry, Timetable, backoff
from tests.memory import mirror, mirrors

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
HALF_HOURLY = Every(timedelta(minutes=30), timedelta())
NIGHTLY = Cron("0 3 * * *", jitter=timedelta())
MINUTE = timedelta(minutes=1)

TARGETS = ("a", "b", "c")
FILE = replace(
    mirrors(
        mirror("a", Glob("*")),
        replace(mirror("b", Glob("*")), schedule=NIGHTLY),
        replace(mirror("c", Glob("*")), schedule=HALF_HOURLY),
    ),
    schedule=HALF_HOURLY,
)


def table(*, at_once: bool = False) -> Timetable:
    return Timetable.of(FILE, NOON, "seed", at_once=at_once)


def due(table: Timetable, now: datetime) -> list[str] | None:
    """The targets that a run at `now` is for; a target that is no longer in the file is one of them."""
    only = table.due(now)
    return None if only is None else [target for target in (*TARGETS, "gone") if matches_only(target, only)]


def test_an_interval_runs_at_the_start_and_a_cron_expression_at_its_time() -> None:
    assert due(table(), NOON) == ["a", "c", "gone"]
    assert Timetable.of(replace(FILE, schedule=NIGHTLY), NOON, "", at_once=False).due(NOON) == ("c",)


def test_after_an_edit_everything_is_due() -> None:
    assert table(at_once=True).due(NOON) == ()


def test_a_mirror_with_a_schedule_of_its_own_is_run_by_that_alone() -> None:
    after = table().ended(NOON)
    night = datetime(2026, 11, 27, 3, tzinfo=UTC)
    assert NIGHTLY.after(NOON, "") == night
    assert due(replace(after, entries=(replace(after.entries[0], next=night + MINUTE), after.entries[1])), night) == [
        "b"
    ]
    assert due(after, night) == ["a", "b", "c", "gone"]


def test_missed_runs_are_not_piled_up() -> None:
    later = NOON + timedelta(days=3)
    after = table().ended(later)
    assert after.due(later) is None
    assert later < after.next <= later + timedelta(minutes=30)


def test_a_repository_that_fails_is_left_out_and_tried_again_alone() -> None:
    after = table(at_once=True).settled((), {"a"}, NOON).ended(NOON)
    assert after.next == NOON + FIRST
    assert after.due(NOON + FIRST - timedelta(seconds=1)) is None
    assert after.due(NOON + FIRST) == ("a",)
    waiting = replace(after, entries=tuple(replace(one, next=NOON) for one in after.entries))
    assert due(waiting, NOON) == ["b", "c", "gone"], "the others go on"


def test_what_succeeds_is_tried_like_the_others_again() -> None:
    failed = table().settled((), {"a", "c"}, NOON)
    assert failed.settled(("a",), set(), NOON).backoffs.keys() == {"c"}
    assert failed.settled(("!a",), set(), NOON).backoffs.keys() == {"a"}
    assert not failed.settled((), set(), NOON).backoffs


def test_a_run_that_fails_as_a_whole_is_repeated_as_a_whole() -> None:
    after = table(at_once=True).settled((), {EVERYTHING}, NOON).ended(NOON)
    assert after.due(NOON + FIRST) == ()
    again = after.settled((), {EVERYTHING}, NOON + FIRST)
    assert again.backoffs[EVERYTHING].until == NOON + 3 * FIRST
    assert not again.settled(("a",), set(), NOON).backoffs, "the store works again"


def test_a_clock_that_is_set_back_makes_new_times() -> None:
    after = table().ended(NOON).settled((), {"a"}, NOON)
    assert after.checked(NOON - timedelta(seconds=59)) is after
    back = NOON - timedelta(days=300)
    assert back < after.checked(back).next <= back + timedelta(minutes=30)


def test_waits_double_up_to_an_hour() -> None:
    assert [backoff(number) / FIRST for number in (1, 2, 3, 6, 7, 1000)] == [1, 2, 4, 32, 60, 60]


targets = st.sets(st.sampled_from(TARGETS))


@given(st.lists(st.tuples(targets, st.integers(0, 90)), max_size=30))
def test_each_target_is_run_as_often_as_its_schedule_says_or_its_backoff_allows(
    steps: list[tuple[set[str], int]],
) -> None:
    """Whatever fails: nothing is due twice at one time, and every target is due again within a day and an hour."""
    now, known = NOON, table()
    for failing, minutes in steps:
        only = known.due(now)
        if only is not None:
            known = known.settled(only, {one for one in failing if matches_only(one, only)}, now)
        known = known.ended(now)
        assert known.due(now) is None
        assert known.next > now
        now += minutes * MINUTE
    last = now + timedelta(days=1) + LONGEST
    for target in TARGETS:
        assert target in (due(known, last) or ()), "none is forgotten"


@pytest.mark.parametrize("schedule", [None, HALF_HOURLY])
def test_the_file_has_an_entry_even_if_all_mirrors_have_their_own_schedules(schedule: Every | None) -> None:
    """Its runs prune what is no longer in the file."""
    file = replace(mirrors(replace(mirror("a", Glob("*")), schedule=NIGHTLY)), schedule=schedule)
    assert Timetable.of(file, NOON, "", at_once=False).due(NOON) == ("!a",)


def test_a_run_is_late_when_the_one_after_it_is_due_but_an_hour_after_its_time_at_least() -> None:
    assert replace(table(), entries=(Entry(HALF_HOURLY, NOON),)).late_at == NOON + timedelta(hours=1)
    night = NIGHTLY.after(NOON, "")
    assert replace(table(), entries=(Entry(NIGHTLY, night),)).late_at == night + timedelta(days=1)
    assert table().late_at == NOON + timedelta(hours=1), "the first of all schedules"
