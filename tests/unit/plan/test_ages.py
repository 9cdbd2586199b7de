"""`min_age`: what is new waits, by the store's clock, and immutable tags do not move unseen."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from reconciler.apply.outcome import ImmutableTagMoved
from reconciler.errors import PlanRefused, Unreachable, UsageError
from reconciler.mirrors.min_age import MinAge
from reconciler.mirrors.patterns import Exact, Glob, Pinned
from reconciler.mirrors.schema_files import load_schema
from reconciler.oci.spec import Digest
from reconciler.plan.ages import Consent
from reconciler.plan.consent import check_consent
from reconciler.plan.diff import Action
from reconciler.plan.plan_json import parse_plan, plan_document, serialise_with_manifests
from reconciler.plan.saved import checked
from reconciler.target.index_json import parse
from reconciler.target.layout import LOCK, MIRROR_INDEX
from tests.bench import V1, V2, V3, Bench, app, check_visible, expire_lock
from tests.days import AGE, HOUR, SETTLED, Days, newest
from tests.memory import Fault, Killed, mirror, mirrors
from tests.parts.images import image, write_layout
from tests.world import InProcess, World


def test_what_is_new_is_published_once_it_was_seen_for_as_long_as_it_has_to_be() -> None:
    days = Days(v1=V1)
    assert days.apply() == [], "a first run counts from what it sees"
    days.pass_days(2.9)
    assert days.apply() == []
    days.pass_days(0.1)
    assert days.apply() == ["a1"]
    assert not days.state.seen


def test_the_old_digest_stays_meanwhile_and_a_run_that_finds_nothing_new_writes_nothing() -> None:
    days = Days(v1=V1)
    days.apply(SETTLED)
    days.push(v1=V2)
    assert days.apply() == []
    before = dict(days.bench.store.objects)
    days.pass_days(1)
    assert not days.plan().has_changes
    assert days.apply() == []
    assert days.bench.store.objects == before
    assert days.served == {"1": V1.digest}
    days.pass_days(2)
    assert days.apply() == ["u1"]


def test_a_plan_alone_starts_no_clock() -> None:
    days = Days(v1=V1)
    days.plan()
    days.pass_days(4)
    assert not days.plan().has_changes
    assert MIRROR_INDEX not in days.bench.store.objects


def test_what_is_shown_of_a_tag_that_waits() -> None:
    days = Days(v1=V1)
    days.apply()
    days.pass_days(1)
    (waiting,) = days.plan().repositories[0].ages.waiting
    assert (waiting.tag, str(waiting.digest)) == ("1", V1.digest)
    assert waiting.since == days.bench.now - timedelta(days=1)
    assert waiting.until == waiting.since + AGE.age
    document = plan_document(days.plan())
    Draft202012Validator(load_schema("plan")).validate(document)
    assert document["summary"]["waiting"] == 1


def test_a_tag_that_waits_takes_no_place_among_the_newest() -> None:
    days = Days(newest(3), v1_0=V1, v1_1=V2, v1_2=V3, v1_3=app("4"))
    days.apply(SETTLED)
    assert set(days.served) == {"1.1", "1.2", "1.3"}
    days.push(v1_4=app("5"), v1_5=app("6"))
    assert days.apply() == [], "nothing is pruned for what waits"
    assert set(days.served) == {"1.1", "1.2", "1.3"}
    days.pass_days(3)
    assert days.apply() == ["a1.4", "a1.5", "p1.1", "p1.2"]


def test_a_mirrored_tag_whose_update_waits_keeps_its_place() -> None:
    days = Days(newest(1), v1_0=V1, v1_1=V2)
    days.apply(SETTLED)
    days.push(v1_1=V3)
    assert days.apply() == []
    assert days.served == {"1.1": V2.digest}


def test_releases_that_follow_fast_are_published_as_they_come_of_age() -> None:
    days = Days(newest(1), v1_0=V1)
    days.apply(SETTLED)
    published = []
    for number in range(1, 8):
        days.push(**{f"v1_{number}": app(f"fast {number}")})
        published.append([one for one in days.apply() if one[0] == "a"])
        days.pass_days(1)
    assert published == [[], [], [], ["a1.1"], ["a1.2"], ["a1.3"], ["a1.4"]]


def test_older_tags_are_not_resolved_to_take_the_place_of_those_that_wait() -> None:
    days = Days(newest(3))
    days.push(**{f"v1_{number}": app(str(number)) for number in range(40)})
    days.apply()
    assert len(days.bench.sources["a"].asked("resolve")) == 3
    days.push(v1_40=app("40"))
    days.apply()
    assert len(days.bench.sources["a"].asked("resolve")) == 3 + 4


def test_a_digest_that_the_tag_left_before_its_time_is_never_published_and_reported() -> None:
    days = Days(v1=V1)
    days.apply(SETTLED)
    days.push(v1=V2)
    days.apply()
    days.push(v1=V1)
    days.pass_days(1)
    (vanished,) = days.plan().repositories[0].ages.vanished
    assert str(vanished.digest) == V2.digest
    assert any(V2.digest in warning for warning in days.plan().all_warnings)
    assert days.apply() == []
    assert not days.plan().all_warnings, "it is reported once"
    days.push(v1=V2)
    days.pass_days(30)
    assert days.apply() == []
    assert days.plan().repositories[0].ages.waiting[0].until is None
    assert days.apply(SETTLED) == [], "only by its name"
    assert days.apply(Consent(now=frozenset({"a:1"}))) == ["u1"]


def test_a_tag_that_vanishes_before_its_time_is_forgotten_and_reported() -> None:
    days = Days(v1=V1)
    days.apply(SETTLED)
    days.push(v2=V2)
    days.apply()
    del days.bench.sources["a"].images["2"]
    assert [one.tag for one in days.plan().repositories[0].ages.vanished] == ["2"]
    days.apply()
    assert not days.state.seen
    days.push(v2=V2)
    days.pass_days(3)
    assert days.apply() == [], "it counts from now on"


def test_a_source_that_fails_stops_no_clock() -> None:
    days = Days(v1=V1)
    days.apply()
    for key in ("", "1"):
        source = days.bench.sources["a"]
        source.failing[key] = Unreachable("a", "no answer")
        days.pass_days(1)
        days.bench.apply(days.plan())
        del source.failing[key]
    days.pass_days(1)
    assert days.apply() == ["a1"]


def test_pins_and_exceptions_do_not_wait() -> None:
    age = MinAge(AGE.age, exempt=(Glob("n*"),))
    days = Days(Pinned("1", Digest.parse(V1.digest)), Glob("*"), age=age, v1=V2, n=V3, v2=V2)
    days.bench.sources["a"].along.append(V1)
    assert days.apply() == ["a1", "an"]


def test_a_tag_can_be_published_at_once_and_the_index_says_so() -> None:
    days = Days(v1=V1, v2=V2)
    consent = Consent(now=frozenset({"a:1"}))
    plan = days.plan(consent=consent)
    check_consent(plan, consent)
    Draft202012Validator(load_schema("plan")).validate(plan_document(plan))
    assert days.apply(consent) == ["a1"]
    assert {tag: one.by for tag, one in days.state.tags.items()} == {"1": "--now"}
    with pytest.raises(UsageError, match=r"--now a:1: this tag does not wait"):
        check_consent(days.plan(consent=consent), consent)


def test_what_is_there_can_be_accepted_and_that_is_said() -> None:
    days = Days(v1=V1, v2=V2)
    (warning,) = days.plan(consent=SETTLED).all_warnings
    assert warning.startswith("a: --accept-present: 2 of the tags have not been seen for 3d")
    assert days.apply(SETTLED) == ["a1", "a2"]
    assert {one.by for one in days.state.tags.values()} == {"--accept-present"}


def test_a_mirror_without_min_age_forgets_what_was_seen() -> None:
    days = Days(v1=V1)
    days.apply()
    days.mirror = mirror("a")
    assert days.apply() == ["a1"]
    assert not days.state.seen


def test_a_mirror_that_is_taken_out_leaves_nothing_behind() -> None:
    days = Days(v1=V1)
    days.apply()
    days.mirror = mirror("b")
    days.bench.sources["b"] = days.bench.sources["a"]
    days.apply()
    assert "a" not in parse(days.bench.store.objects[MIRROR_INDEX], "it").repositories


def test_a_saved_plan_publishes_only_what_the_index_has_seen_for_long_enough() -> None:
    days = Days(v1=V1)
    days.apply()
    days.pass_days(3)
    index, wanted = parse(days.bench.store.objects[MIRROR_INDEX], "it"), mirrors(days.mirror)
    saved = parse_plan(serialise_with_manifests(days.plan()).encode(), "plan.json")
    assert saved.repositories[0].ages == days.plan().repositories[0].ages
    assert checked(saved, wanted, index, "plan.json", days.bench.now).has_changes
    with pytest.raises(PlanRefused, match="is not old enough for min_age"):
        checked(saved, wanted, index, "plan.json", days.bench.now - HOUR)


def test_the_first_time_is_the_stores_even_without_an_index() -> None:
    days = Days(v1=V1)
    days.pass_days(1000)
    plan = days.plan()
    days.bench.apply(plan)
    assert days.state.seen["1"][0].since == days.bench.now


def test_an_image_that_could_not_be_copied_in_time_does_not_start_anew() -> None:
    days = Days(v1=V1)
    days.apply()
    days.pass_days(3)
    days.bench.sources["a"].broken[V1.digest] = [Unreachable("a", "no answer")] * 20
    days.bench.apply(days.plan())
    days.bench.sources["a"].broken.clear()
    assert days.apply() == ["a1"]


@pytest.mark.slow
@pytest.mark.parametrize("late", [False, True])
def test_killed_at_any_operation_nothing_is_published_early_and_no_time_is_lost(late: bool) -> None:
    """An apply that sees a digest first, and one that publishes it."""
    for at in count():
        days = Days(v1=V1, v2=V2)
        days.apply(Consent(now=frozenset({"a:1"})))
        days.push(v1=V3)
        if late:
            days.apply()
            days.pass_days(3)
        before = {"1": V1.digest} if not late else days.served
        bench = days.bench.again(fault=Fault(at, Killed()))
        plan, stopped = bench.plan(days.mirror), False
        try:
            bench.apply(plan)
        except Killed:
            stopped = True
        days.bench = bench.again()
        check_visible(days.bench.store)
        if not late:
            assert days.served == before
        expire_lock(days.bench.store)
        days.bench.apply(days.plan())
        if late:
            assert days.served == {"1": V3.digest, "2": V2.digest}
        else:
            assert days.served == before
            assert set(days.state.seen) == {"1", "2"}
        assert LOCK not in days.bench.store.objects
        if not stopped:
            return


def test_an_immutable_tag_that_moved_is_refused_with_both_digests_until_it_is_accepted() -> None:
    bench = Bench.of(a={"1": V1, "2": V2})
    frozen = mirror("a", immutable=(Exact("1"),))
    bench.apply(bench.plan(frozen))
    bench.sources["a"].images |= {"1": V3}
    assert not bench.plan(frozen).counts["errors"], "it is not resolved"
    plan = bench.plan(frozen, recheck=True)
    assert not plan.has_changes
    (error,) = plan.repositories[0].troubles
    assert V1.digest in error
    assert V3.digest in error
    assert "--accept-moved a:1" in error
    document = plan_document(plan)
    Draft202012Validator(load_schema("plan")).validate(document)
    assert document["repositories"][0]["moved"] == [{"tag": "1", "before": V1.digest, "after": V3.digest}]
    bench.apply(plan)
    assert [type(one) for one in bench.others] == [ImmutableTagMoved]
    consent = Consent(moved=frozenset({"a:1"}))
    accepted = bench.plan(frozen, consent=consent)
    check_consent(accepted, consent)
    (change,) = accepted.repositories[0].changes
    assert (change.action, change.by, accepted.counts["errors"]) == (Action.UPDATE, "--accept-moved", 0)
    bench.apply(accepted)
    assert not bench.plan(frozen, recheck=True).counts["errors"]
    with pytest.raises(UsageError, match="--accept-moved a:1: this tag has not moved"):
        check_consent(bench.plan(frozen, consent=consent), consent)


@given(
    st.lists(
        st.tuples(st.sampled_from(["push", "apply", "race", "pass"]), st.sampled_from(["1", "2"]), st.integers(0, 2)),
        max_size=30,
    )
)
def test_nothing_is_published_before_it_was_seen_for_long_enough(steps: list[tuple[str, str, int]]) -> None:
    """Whatever the order of pushes and applies. Since when a digest was seen at each apply is told by the test alone."""
    days = Days(v1=V1)
    since: dict[str, tuple[str, datetime]] = {}
    served: Mapping[str, str] = {}
    for what, tag, number in steps:
        if what == "push":
            days.push(**{f"v{tag}": (V1, V2, V3)[number]})
        elif what == "pass":
            days.pass_days(number + 0.5)
        else:
            for one, pushed in days.bench.sources["a"].images.items():
                if since.get(one, ("",))[0] != pushed.digest:
                    since[one] = (pushed.digest, days.bench.now)
            plan = days.plan()
            if what == "race":
                days.apply()
            with suppress(PlanRefused):
                days.bench.apply(plan)
            for one in {one for one, digest in days.served.items() if served.get(one) != digest}:
                assert since[one][0] == days.served[one]
                assert days.bench.now - since[one][1] >= AGE.age
            served = days.served


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A folder store and an image layout with two tags, of which none is mirrored yet."""
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    write_layout(tmp_path / "images", {tag: image({"v": tag}) for tag in ("1.0", "2.0")})
    world.mirrors({"source": "oci:./images", "target": "app", "tags": [{"glob": "*"}], "min_age": "3d"})
    return world


def test_the_commands_say_what_waits_and_let_it_through_by_name(world: World) -> None:
    text = world.run("plan", "--detailed-exitcode").stdout
    line = r"  \. 1\.0  waits until 20\d\d-\d\d-\d\d \d\d:\d\d \(first seen 20\d\d-\d\d-\d\d \d\d:\d\d\)\n"
    assert re.match(rf"app  from oci:\./images\n{line}{line.replace('1', '2', 1)}", text)
    assert text.endswith("No changes; 0 unchanged; 2 waiting.\n")
    assert "| `.` | `app:1.0` | waits until 20" in world.run("plan", "--format", "markdown").stdout
    assert world.run("apply", "--yes").stdout == "Nothing to do; 2 waiting.\n"
    assert set(json.loads((world.folder / "mirror" / MIRROR_INDEX).read_text())["repositories"]["app"]["seen"]) == {
        "1.0",
        "2.0",
    }
    assert "+ app:1.0  added" in world.run("apply", "--yes", "--now", "app:1.0").stdout
    assert "--now app:1.0: this tag does not wait" in world.run("apply", "--yes", "--now", "app:1.0", code=1).stderr
    assert re.search(r"\+ app:1\.0 sha256:\w+  before its time, by --now\n", world.run("history").stdout)
    (run, *_) = json.loads(world.run("history", "--format", "json").stdout)["runs"]
    assert run["events"][0]["early"] == "--now"
    world.run("plan", "--out", "plan.json")
    assert "leave out --now" in world.run("apply", "plan.json", "--now", "app:2.0", code=1).stderr
    done = world.run("apply", "--yes", "--accept-present", "--format", "json")
    assert "have not been seen for 3d" in done.stderr
    assert json.loads(done.stdout)["outcomes"][0]["reason"] == "published by --accept-present"


def test_the_commands_refuse_an_immutable_tag_that_moved_until_it_is_accepted(world: World) -> None:
    world.mirrors({"source": "oci:./images", "target": "app", "tags": [{"glob": "*"}], "immutable": [{"glob": "1*"}]})
    world.run("apply", "--yes")
    shutil.rmtree(world.folder / "images")
    write_layout(world.folder / "images", {"1.0": image({"v": "moved"}), "2.0": image({"v": "2.0"})})
    assert "No changes" in world.run("plan").stdout
    told = world.run("plan", "--recheck", code=1).stdout
    assert "oci:./images:1.0: is immutable, and has moved" in told
    assert "~ app:1.0  updated" in world.run("apply", "--yes", "--accept-moved", "app:1.0").stdout
    assert "  although it is immutable, by --accept-moved\n" in world.run("history").stdout
    assert "No changes" in world.run("plan", "--recheck").stdout
    assert "has not moved" in world.run("plan", "--accept-moved", "app:1.0", code=1).stderr
