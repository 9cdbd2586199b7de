"""A watched file under a simulated clock: edits, bad edits, failures, other replicas, triggers, and the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.apply.finished import Finished
from reconciler.errors import LockHeld, MirrorError, MirrorsInvalid, StoreUnreachable, Unreachable
from reconciler.mirrors.load import load_mirrors
from reconciler.plan.plan import Plan, RepositoryPlan
from reconciler.watch.inbox import Inbox
from reconciler.watch.report import Held, Report
from reconciler.watch.status import Health
from reconciler.watch.watched_file import POLL, SETTLED, WatchedFile

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.work.deadline import Deadline

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
SEED = "i"
"""With it, the periods of half an hour begin 26 minutes after noon."""
HEAD = "version: 1\nstore: {type: file, path: m}\nschedule: {every: 30m, jitter: 0s}\nmirrors:\n"
GOOD = f"{HEAD}  - {{source: a.example/a, tags: [x]}}\n  - {{source: a.example/b, tags: [x]}}\n"
BETTER = f"{GOOD}  - {{source: a.example/c, tags: [x]}}\n"
BAD = f"{GOOD}  - {{source: a.example/c}}\n"


@dataclass
class World:
    """A clock, the runs that it saw, and what a test makes happen at some second."""

    path: Path
    now: datetime = NOON
    takes: timedelta = timedelta(seconds=1)
    runs: list[tuple[float, int, tuple[str, ...]]] = field(default_factory=list)
    happens: dict[float, Callable[[], None]] = field(default_factory=dict)
    fails: Callable[[float], frozenset[str]] = lambda _: frozenset()
    broken: MirrorError | None = None
    holder: bool = False
    events: list[tuple[float, str]] = field(default_factory=list)
    inbox: Inbox = field(default_factory=Inbox)

    @property
    def second(self) -> float:
        return (self.now - NOON).total_seconds()

    # the clock

    def wait(self, inbox: Inbox, seconds: float) -> None:
        assert 0 <= seconds <= POLL
        self.pass_(seconds, inbox)

    def pass_(self, seconds: float, inbox: Inbox | None = None) -> None:
        end = self.second + max(seconds, 0.01)
        for at in sorted(one for one in self.happens if one <= end):
            self.now = max(self.now, NOON + timedelta(seconds=at))
            self.happens.pop(at)()
            if inbox and inbox.has_news:
                return
        self.now = NOON + timedelta(seconds=end)

    # the runs

    def run(self, mirrors: Mirrors, only: tuple[str, ...], deadline: Deadline) -> Report:
        self.runs.append((self.second, len(mirrors.mirrors), only))
        if self.holder:
            held = LockHeld("m", "another", "noon", 120)
            return Report((Finished("default", "", self.now, 0.0, error=held),), 0.0)
        failing = self.fails(self.second)
        self.pass_(self.takes.total_seconds())
        repositories = tuple(
            RepositoryPlan(one, one, None, 0, (), str(Unreachable(one, "no answer")), reasons=("unreachable",))
            for one in sorted(failing)
        )
        plan = Plan("", 1, None, repositories)
        run = Finished("default", "", self.now, 1.0, plan=plan, error=self.broken)
        return Report((run,), 1.0, stopped=not deadline.takes_more)

    @contextmanager
    def lock_of(self, mirrors: Mirrors, store: str) -> Iterator[Callable[[], bool]]:
        yield lambda: self.holder

    # the listener

    def ran(self, file: str, report: Report, next_run: datetime) -> None:
        self.events.append((self.second, "ran"))

    def reloaded(self, file: str, mirrors: Mirrors) -> None:
        self.events.append((self.second, "reloaded"))

    def bad_edit(self, file: str, mirrors: Mirrors, error: str) -> None:
        self.events.append((self.second, "bad"))

    def stands_by(self, file: str, held: Held) -> None:
        self.events.append((self.second, "stands by"))

    # what tests do

    def watched(self) -> WatchedFile:
        clock = type(
            "Clock", (), {"now": lambda _: self.now, "wait": lambda _, inbox, seconds: self.wait(inbox, seconds)}
        )()
        return WatchedFile(self.path, lambda path: load_mirrors(path, {}), self, self.inbox, clock, self, SEED)

    def watch(self, seconds: float, max_failures: int | None = None) -> WatchedFile:
        self.happens[seconds] = lambda: self.inbox.stop(0)
        watched = self.watched()
        watched.run(max_failures)
        return watched

    def write(self, text: str, name: str = "mirrors.yaml") -> Callable[[], None]:
        def write() -> None:
            self.path.with_name(name).write_text(text)

        return write

    def events_of(self, kind: str) -> list[float]:
        return [second for second, one in self.events if one == kind]


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "mirrors.yaml").write_text(GOOD)
    return World(tmp_path / "mirrors.yaml")


def test_it_runs_at_the_start_and_then_in_each_period(world: World) -> None:
    world.watch(4 * 3600)
    assert [len(only) for _, _, only in world.runs] == [0] * len(world.runs)
    assert world.runs[0][0] == 0
    assert 8 <= len(world.runs) <= 9
    gaps = [one[0] - other[0] for other, one in zip(world.runs[1:], world.runs[2:], strict=False)]
    assert gaps == pytest.approx([1800] * len(gaps), abs=0.1)


def test_a_run_that_takes_longer_than_the_period_is_followed_by_one(world: World) -> None:
    world.takes = timedelta(hours=2)
    world.watch(6 * 3600 - 1)
    assert 2 <= len(world.runs) <= 3


def test_an_edit_is_run_at_once(world: World) -> None:
    world.happens[100] = world.write(BETTER)
    world.watch(200)
    second, mirrors, only = world.runs[1]
    assert 100 < second <= 100 + POLL + SETTLED + 0.1
    assert (mirrors, only) == (3, ())


@pytest.mark.slow
def test_a_bad_edit_keeps_the_old_content_at_work_and_is_reported_once_until_it_is_mended(world: World) -> None:
    world.happens[100] = world.write(BAD)
    states: list[tuple[bool, list[str]]] = []

    def look() -> None:
        states.append(
            (watched.status.bad_edit is not None, Health(lambda: [watched.status], lambda: world.now).reasons())
        )

    world.happens |= {50: look, 4000: look, 4100: world.write(GOOD), 4200: look, 4300: lambda: world.inbox.stop(0)}
    watched = world.watched()
    watched.run()
    assert len(world.events_of("bad")) == 1
    assert [run[1] for run in world.runs[1:3]] == [2, 2], "the old content"
    assert [bad for bad, _ in states] == [False, True, False]
    assert "was edited and cannot be used" in states[1][1][0]
    assert states[2][1] == []
    assert len(world.events_of("reloaded")) == 1


def test_a_link_that_is_switched_is_an_edit_and_a_file_that_is_missing_is_a_bad_one(tmp_path: Path) -> None:
    """A ConfigMap is a link to a folder by way of a link that is replaced."""
    for name, text in (("one", GOOD), ("two", BETTER)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mirrors.yaml").write_text(text)
    (tmp_path / "data").symlink_to("one")
    (tmp_path / "mirrors.yaml").symlink_to("data/mirrors.yaml")
    world = World(tmp_path / "mirrors.yaml")

    def switch() -> None:
        (tmp_path / "new").symlink_to("two")
        (tmp_path / "new").replace(tmp_path / "data")

    world.happens = {100: switch, 200: (tmp_path / "data").unlink}
    watched = world.watch(300)
    assert world.runs[-1][1] == 3
    assert len(world.events_of("bad")) == 1
    assert watched.status.bad_edit


def test_a_file_that_is_still_being_written_is_read_when_it_rests(world: World) -> None:
    world.happens[100] = world.write(BAD)
    world.happens[100 + POLL] = world.write(f"{BAD}#")
    world.happens[100 + 2 * POLL] = world.write(BETTER)
    world.happens |= {100 + number * 0.4: world.write(f"{BAD}{'#' * number}") for number in range(1, 25)}
    world.watch(200)
    assert world.events_of("bad") == []
    assert world.runs[-1][1] == 3


def test_an_edit_of_an_included_file_and_a_new_one_are_edits(world: World) -> None:
    folder = world.path.parent
    world.path.write_text(GOOD.replace("schedule", "include: [t-*.yaml]\nschedule"))
    one = "version: 1\nmirrors:\n- {source: a.example/c, tags: [x]}\n"
    two = one + "- {source: a.example/d, tags: [x]}\n"
    (folder / "t-1.yaml").write_text(one)
    world.happens[100] = world.write(two, "t-1.yaml")
    world.happens[200] = world.write(one.replace("/c", "/e"), "t-2.yaml")
    world.happens[300] = (folder / "t-2.yaml").unlink
    world.watch(400)
    assert [mirrors for _, mirrors, _ in world.runs] == [3, 4, 5, 4]


def test_a_bad_edit_that_another_file_mends_is_taken_over(world: World) -> None:
    world.happens[100] = world.write(GOOD.replace("schedule", "include: [t.yaml]\nschedule"))
    text = "version: 1\nmirrors:\n- {source: a.example/c, tags: [x]}\n"
    world.happens[200] = world.write(text, "t.yaml")
    world.watch(300)
    assert len(world.events_of("bad")) == 1
    assert 200 < world.events_of("reloaded")[0] <= 200 + POLL + 0.1
    assert world.runs[-1][1] == 3


def test_sighup_reads_the_file_anew_although_it_is_the_same(world: World) -> None:
    world.happens[100] = world.inbox.reload
    world.watch(200)
    assert [round(run[0]) for run in world.runs] == [0, 100]


def test_a_file_that_is_wrong_from_the_start_is_an_error(world: World) -> None:
    world.path.write_text(BAD)
    with pytest.raises(MirrorsInvalid):
        world.watched()


def test_a_repository_that_fails_is_tried_again_later_and_later_and_the_others_go_on(world: World) -> None:
    world.fails = lambda second: frozenset({"a"} if second < 7000 else ())
    watched = world.watch(2 * 3600)
    alone = [round(second) for second, _, only in world.runs if only == ("a",)]
    assert alone[:3] == pytest.approx([61, 182, 423], abs=3)
    assert len(alone) < 10
    others = [only for _, _, only in world.runs[1:] if only != ("a",)]
    assert len(others) >= 3
    assert set(others) <= {("!a",), ()}
    assert watched.status.error is None
    assert Health(lambda: [watched.status], lambda: world.now).reasons() == [], "the process does what it can"


def test_a_store_that_fails_makes_it_unready_until_it_works_again(world: World) -> None:
    world.broken = StoreUnreachable("m", "no answer")
    reasons: list[list[str]] = []

    def look() -> None:
        reasons.append(Health(lambda: [watched.status], lambda: world.now).reasons())
        world.broken = None

    world.happens = {30: look, 90: look, 100: lambda: world.inbox.stop(0)}
    watched = world.watched()
    watched.run()
    assert [len(one) for one in reasons] == [1, 0]
    assert watched.status.last_success


def test_a_run_that_does_not_end_in_its_time_makes_it_unready(world: World) -> None:
    world.takes = timedelta(hours=2)
    reasons: list[list[str]] = []

    def look() -> None:
        reasons.append(Health(lambda: [watched.status], lambda: world.now).reasons())

    world.happens = {3590: look, 3610: look, 7210: look, 7220: lambda: world.inbox.stop(0)}
    watched = world.watched()
    watched.run()
    late = f"{world.path}: no run has ended yet; it was expected by 2026-11-26 13:00 UTC"
    assert reasons == [[], [late], []]


def test_a_replica_that_stands_by_is_not_late(world: World) -> None:
    world.holder = True
    watched = world.watch(3 * 3600)
    assert Health(lambda: [watched.status], lambda: world.now).reasons() == []
    assert Health(lambda: [replace(watched.status, standing_by=None)], lambda: world.now).reasons() != []


def test_after_some_failed_runs_in_a_row_it_ends(world: World) -> None:
    world.fails = lambda _: frozenset({"a"})
    watched = world.watch(24 * 3600, max_failures=3)
    assert len(world.runs) == watched.status.failures == 3
    assert not world.inbox.is_stopped


def test_a_replica_stands_by_while_another_works_and_takes_over(world: World) -> None:
    world.holder = True

    def ends() -> None:
        world.holder = False

    world.happens[100] = ends
    world.watch(200)
    assert [second for second, _, _ in world.runs] == pytest.approx([0, 100], abs=POLL + 0.1)
    assert len(world.events_of("stands by")) == 1


def test_a_replica_that_stands_by_can_be_stopped(world: World) -> None:
    world.holder = True
    world.watch(50)
    assert world.second == pytest.approx(50, abs=0.1)


def test_a_trigger_runs_its_targets_at_once(world: World) -> None:
    world.happens[100] = lambda: world.inbox.wake(frozenset({"b"}))

    def twice() -> None:
        world.inbox.wake(frozenset({"b"}))
        world.inbox.wake(None)

    world.happens[200] = twice
    world.watch(300)
    assert [(round(second), only) for second, _, only in world.runs] == [(0, ()), (100, ("b",)), (200, ())]


def test_once_runs_everything_once(world: World) -> None:
    world.path.write_text(GOOD.replace("{every: 30m, jitter: 0s}", "0 3 * * *"))
    world.watched().run_once()
    assert [only for _, _, only in world.runs] == [()]


def test_a_cron_expression_waits_for_its_time(world: World) -> None:
    world.path.write_text(
        GOOD.replace("{every: 30m, jitter: 0s}", "{cron: 0 3 * * *, timezone: Europe/Berlin, jitter: 0s}")
    )
    world.watch(25 * 3600)
    assert [second for second, _, _ in world.runs] == pytest.approx([14 * 3600], abs=1)
