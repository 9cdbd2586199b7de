"""A run out of time records what is done, publishes its lists and reports the rest; a plan goes on without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.apply import run
from reconciler.apply.outcome import Done, Skipped
from reconciler.errors import OutOfTime, SourceError
from reconciler.http.patience import Patience
from reconciler.mirrors.patterns import Exact
from reconciler.sources.config import RegistryConfig
from reconciler.sources.registry import Registry
from reconciler.sources.repository import RegistrySource
from reconciler.target.ledger import read_index
from reconciler.work.deadline import CLOSED, REASON, Deadline
from tests.bench import V1, V2, V3, Bench, check_visible
from tests.memory import mirror
from tests.parts.images import image, write_layout
from tests.parts.logins import Given
from tests.parts.scripted_server import Answer
from tests.world import InProcess

if TYPE_CHECKING:
    from tests.parts.lying_registry import LyingRegistry


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_deadline_is_over_from_its_moment_on() -> None:
    clock = Clock()
    deadline = Deadline(60, clock)
    deadline.check("it")
    assert (deadline.left, deadline.is_over) == (60, False)
    clock.now = 60
    with pytest.raises(
        OutOfTime, match=r"it: the time of this run \(--timeout\) is over; run it again, or give it a longer --timeout"
    ):
        deadline.check("it")
    assert not Deadline(None, clock).is_over


@pytest.mark.parametrize("threads", [1, 4])
def test_what_is_done_is_recorded_and_listed_and_the_rest_is_skipped(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time ends when the first image has been copied: while the others are copied, or have not begun."""
    monkeypatch.setattr(run, "PAUSE", 0.01)
    clock = Clock()
    bench = Bench.of(a={"1": V1, "gone": V2})
    bench.apply()
    bench = bench.again(threads=threads)
    bench.sources |= Bench.of(**{f"b{number}": {"1": V2} for number in range(3)}, c={"1": V3}).sources

    def meanwhile(_: int, operation: object) -> None:
        if "v2/b0/manifests/1" in str(operation) and "put" in str(operation):
            clock.now = 100

    bench.store.meanwhile = meanwhile
    bench.deadline = Deadline(60, clock)
    kept = mirror("a", Exact("1"))
    outcomes = bench.apply(bench.plan(mirror("b0"), mirror("b1"), mirror("b2"), mirror("c"), kept))
    assert {one.reason for one in outcomes if isinstance(one, Skipped)} == {REASON}
    done = {one.target for one in outcomes if isinstance(one, Done)}
    assert "b0" in done
    assert len(outcomes) == 4 + 1, "four images, and a prune that has to wait for the next run"
    recorded = read_index(bench.store.shared()).index.repositories
    assert {target for target in recorded if recorded[target].tags} == done | {"a"}
    assert {key for key in bench.store.objects if key.endswith("tags/list")} >= {"v2/b0/tags/list"}
    check_visible(bench.store)
    after = bench.again()
    left = {one.target for one in outcomes if isinstance(one, Skipped)} - {"a"}
    # Several threads may have copied everything before the time was noticed to be over.
    assert left or threads > 1
    finished = after.apply(after.plan(*(mirror(target) for target in after.sources)))
    assert [type(one) for one in finished] == [Done] * len(left)
    assert {one.target for one in finished if isinstance(one, Done)} == left
    check_visible(after.store)


def test_a_run_that_is_told_to_stop_finishes_the_images_under_way_and_begins_none() -> None:
    clock = Clock()
    bench = Bench.of(a={"1": V1, "old": V2})
    bench.apply()
    bench = bench.again()
    bench.sources |= Bench.of(**{f"b{number}": {"1": V2} for number in range(4)}).sources
    bench.deadline = Deadline(None, clock)

    def meanwhile(_: int, operation: object) -> None:
        if "v2/b0/blobs" in str(operation):
            bench.deadline.close(10)

    bench.store.meanwhile = meanwhile
    others = (mirror(f"b{number}") for number in range(4))
    outcomes = bench.apply(bench.plan(mirror("a", Exact("1")), *others))
    assert {one.target for one in outcomes if isinstance(one, Done)} == {"b0"}
    skipped = [one for one in outcomes if isinstance(one, Skipped)]
    assert {one.reason for one in skipped} == {CLOSED}
    assert sorted(one.target for one in skipped) == ["a", "b1", "b2", "b3"], "the prune waits too"
    check_visible(bench.store)


def test_a_deadline_that_is_closed_comes_sooner_and_never_later() -> None:
    clock = Clock()
    deadline = Deadline(60, clock)
    assert deadline.takes_more
    deadline.close(10)
    assert (deadline.takes_more, deadline.is_over, deadline.left) == (False, False, 10)
    deadline.close(100)
    assert deadline.left == 10


@pytest.fixture
def clock() -> Clock:
    return Clock()


def source(host: str, clock: Clock, seconds: float) -> tuple[Registry, RegistrySource]:
    patience = Patience(sleep=clock.sleep, clock=clock)
    registry = Registry(
        host, replace(RegistryConfig(), plain_http=True), Given(), patience, deadline=Deadline(seconds, clock)
    )
    return registry, RegistrySource(registry, "team/app")


def test_after_it_no_registry_is_asked_and_before_it_none_is_waited_for_beyond(
    lying: LyingRegistry,
    clock: Clock,
) -> None:
    lying.on("GET /v2/team/app/tags/list?n=1000", Answer(503, {"Retry-After": "30"}))
    registry, app = source(lying.host, clock, 40)
    with pytest.raises(SourceError, match="answered 503"):
        app.tags()
    assert clock.now == 30
    clock.now = 41
    asked = len(lying.asked)
    with pytest.raises(OutOfTime):
        app.tags()
    assert len(lying.asked) == asked == 2
    registry.close()


def test_the_commands_end_with_one(tmp_path: Path) -> None:
    world = InProcess(tmp_path, {"type": "file", "path": "mirror"})
    write_layout(tmp_path / "layout", {"1": image({"a": "1"})})
    world.mirrors({"source": "oci:layout", "target": "a", "tags": ["1"]})
    assert REASON in world.run("apply", "--yes", "--timeout=0", code=1).stdout
    assert "not a number of seconds" in world.run("plan", "--timeout=nan", code=1).stderr
    world.run("plan", "--timeout=600")
    world.run("apply", "--yes", "--timeout=600")
    world.mirrors({"source": "127.0.0.1:1/x", "target": "a", "tags": ["1"]})
    assert REASON in world.run("plan", "--timeout=0", code=1).stdout
