"""Tags that the source no longer has, and tags that cannot be mirrored as configured."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.apply.outcome import Done, Failed, NotMirrored
from reconciler.errors import NotFound
from reconciler.mirrors.patterns import Entry, Exact, Glob, Kept, Pattern, Pinned, Semver
from reconciler.oci.spec import Digest, Platform
from reconciler.target.index import LeftOut
from reconciler.target.index_changes import begun
from reconciler.target.layout import MIRROR_INDEX, manifest_key
from reconciler.target.ledger import read_index, write_index
from tests.bench import NOW, RETAIN, V1, V2, V3, Bench, app, check_visible
from tests.memory import mirror
from tests.parts.images import image, index, write_layout
from tests.world import InProcess, World, changes

if TYPE_CHECKING:
    from reconciler.apply.outcome import Outcome
    from reconciler.mirrors.model import Mirror
    from reconciler.plan.plan import Plan
    from tests.parts.images import Image


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A folder store that an apply has filled from an image layout with three tags."""
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    upstream(world, "1.0", "2.0", "3.0")
    declare(world)
    world.run("apply", "--yes")
    return world


def upstream(world: World, *tags: str) -> None:
    shutil.rmtree(world.folder / "images", ignore_errors=True)
    write_layout(world.folder / "images", {tag: image({"v": tag}) for tag in tags})


def declare(world: World, *tags: object, **settings: object) -> None:
    world.mirrors({"source": "oci:./images", "target": "app", "tags": list(tags) or [{"glob": "*"}], **settings})


def stored(world: World) -> bytes:
    return (world.folder / "mirror" / MIRROR_INDEX).read_bytes()


def test_a_tag_that_upstream_deleted_is_kept_and_said_to_be(world: World) -> None:
    upstream(world, "1.0", "2.0")
    text = world.run("plan", "--detailed-exitcode").stdout
    assert re.fullmatch(
        r"app  from oci:\./images\n"
        r"  = 3\.0  kept: gone at the source since 20\d\d-\d\d-\d\d\n"
        r"    3 unchanged\n"
        r"\n"
        r"No changes; 3 unchanged\.\n",
        text,
    )
    assert "| `=` | `app:3.0` | kept: gone at the source since 20" in world.run("plan", "--format", "markdown").stdout
    assert world.run("apply", "--yes").stdout == "Nothing to do.\n"
    since = json.loads(stored(world))["repositories"]["app"]["gone"]
    assert set(since) == {"3.0"}
    assert world.plan()["repositories"][0]["gone"] == since
    assert (world.folder / "mirror/v2/app/manifests/3.0").is_file()
    noted = stored(world)
    assert world.run("apply").stdout == "Nothing to do.\n"
    assert stored(world) == noted, "it is noted once"
    upstream(world, "1.0", "2.0", "3.0")
    world.run("apply", "--yes")
    assert "gone" not in json.loads(stored(world))["repositories"]["app"], "it came back"


def test_a_saved_plan_notes_what_is_gone_too(world: World) -> None:
    upstream(world, "1.0", "2.0")
    world.run("plan", "--out", "plan.json")
    assert world.run("apply", "plan.json").stdout == "Nothing to do.\n"
    assert set(json.loads(stored(world))["repositories"]["app"]["gone"]) == {"3.0"}


@pytest.mark.parametrize(
    ("tags", "settings", "pruned"),
    [
        (({"glob": "*"},), {"when_gone": "prune"}, ["3.0"]),
        (({"glob": "*"},), {"when_gone": "prune", "prune": False}, []),
        (({"glob": "*"},), {"exclude": ["3.0"]}, ["3.0"]),
        (({"glob": "[12]*"},), {}, ["3.0"]),
        (({"glob": "*"},), {"immutable": [{"glob": "*"}]}, []),
    ],
)
def test_what_goes_is_what_an_edit_says(
    tags: tuple[object, ...], settings: Mapping[str, object], pruned: list[str], world: World
) -> None:
    upstream(world, "1.0", "2.0")
    world.run("apply", "--yes")
    declare(world, *tags, **settings)
    assert changes(world.plan()) == [("prune", "app", tag) for tag in pruned]
    world.run("apply", "--yes")
    assert set(json.loads(stored(world))["repositories"]["app"].get("gone", {})) == {"3.0"} - set(pruned)
    assert changes(world.plan()) == []


def test_a_named_tag_that_upstream_deleted_is_a_warning(world: World) -> None:
    upstream(world, "1.0", "2.0")
    pin = image({"v": "2.0"}).digest
    declare(world, "3.0", f"2.0@{pin}", "1.0")
    words = "3.0 is named in mirrors.yaml and gone at the source; what is mirrored of it is kept"
    assert world.plan()["repositories"][0]["warnings"] == [words]
    assert f"warning: app: {words}\n" in world.run("apply", "--yes").stderr
    world.run("plan", "--strict", code=1)
    upstream(world, "1.0")
    (one,) = world.plan("--recheck")["repositories"]
    assert set(one["gone"]) == {"2.0", "3.0"}
    declare(world, "3.0", "2.0", "1.0", "4.0")
    (one,) = world.plan(code=1)["repositories"]
    assert "4.0" in one["error"], "what was never mirrored is an error"
    assert "3.0" not in one["error"]


VERSIONS = {f"1.{minor}": app(str(minor)) for minor in range(8)}


def versions(*minors: int) -> dict[str, Image]:
    return {f"1.{minor}": VERSIONS[f"1.{minor}"] for minor in minors}


@pytest.mark.parametrize(
    ("before", "after", "there", "gone"),
    [
        ((0, 1, 2), (0, 1, 2, 3), {1, 2, 3}, set()),
        ((0, 1, 2), (0, 1), {0, 1, 2}, {2}),
        ((1, 2, 3), (0, 1, 2), {0, 1, 2, 3}, {3}),
        ((0, 1, 2), (1, 2, 3), {1, 2, 3}, set()),
        ((0, 1, 2), (2, 3), {1, 2, 3}, {1}),
        ((0, 1, 2), (0, 3), {0, 1, 2, 3}, {1, 2}),
        ((0, 1, 2), (5, 6, 7), {5, 6, 7}, set()),
    ],
)
def test_who_has_a_place_among_the_newest(
    before: tuple[int, ...], after: tuple[int, ...], there: set[int], gone: set[int]
) -> None:
    """What is gone takes nobody's place, and keeps or loses its own as if it were still listed."""
    newest = mirror("a", Entry((Semver(">=1"),), kept=Kept(newest=3)))
    bench = Bench.of(a=versions(*before))
    bench.apply(bench.plan(newest))
    bench = bench.again()
    bench.sources["a"].images = versions(*after)
    bench.apply(bench.plan(newest))
    state = read_index(bench.store).index.repositories["a"]
    assert set(state.tags) == {f"1.{minor}" for minor in there}
    assert state.gone == {f"1.{minor}": NOW for minor in gone}
    check_visible(bench.store)


def test_what_is_gone_and_not_settled_is_published_again_from_the_bucket() -> None:
    bench = Bench.of(a={"1": V1, "2": V2})
    bench.apply()
    bench = bench.again()
    del bench.sources["a"].images["2"]
    write_index(bench.store, read_index(bench.store), lambda index: begun(index, "a", "memory/a", ["2"]))
    del bench.store.objects[manifest_key("a", "2")]
    (done,) = bench.apply()
    assert (type(done), done.change.tag) == (Done, "2")
    state = read_index(bench.store).index.repositories["a"]
    assert (set(state.tags), set(state.gone), state.pending) == ({"1", "2"}, {"2"}, frozenset())
    check_visible(bench.store)


def test_what_is_gone_survives_the_garbage_collection() -> None:
    bench = Bench.of(a={"1": V1, "2": V2})
    bench.apply()
    for _ in range(2):
        bench = bench.again()
        bench.sources["a"].images = {"1": V3}
        bench.now += RETAIN
        bench.apply()
    assert manifest_key("a", "2") in bench.store.objects
    check_visible(bench.store)


# What cannot be mirrored as asked

LINUX = (Platform.parse("linux/amd64"),)
WINDOWS = index(image({"w": "1"}, platform="windows/amd64"))
BOTH = index(image({"l": "1"}), image({"w": "2"}, platform="windows/amd64"))
REASON = "no image for linux/amd64; it has windows/amd64"


def linux(*patterns: Pattern) -> Mirror:
    return mirror("a", *patterns, platforms=LINUX)


def started(*patterns: Pattern, **images: Image) -> tuple[Bench, list[Outcome]]:
    """A bucket after its first apply, and what became of that."""
    bench = Bench.of(a=images)
    bench.named = {"a": linux(*patterns).named}
    return bench, bench.apply(bench.plan(linux(*patterns)))


def applied(**images: Image) -> Bench:
    return started(**images)[0]


def manifests(bench: Bench) -> int:
    return len(bench.sources["a"].asked("manifest"))


def test_an_image_without_the_wanted_platform_is_left_out_once_and_costs_no_pull_again() -> None:
    bench, outcomes = started(both=BOTH, windows=WINDOWS, old=V1)
    assert {(type(one), one.change.tag) for one in outcomes} == {(Done, "both"), (Done, "old")}
    assert bench.others == [NotMirrored("a", "windows", REASON)]
    state = read_index(bench.store).index.repositories["a"]
    assert state.left_out == {"windows": LeftOut(Digest.parse(WINDOWS.digest), REASON, LINUX)}
    assert (set(state.tags), state.pending) == ({"both", "old"}, frozenset())
    bench = bench.again()
    (pruned,) = bench.apply(bench.plan(linux(Glob("[bw]*"))))
    assert (type(pruned), pruned.change.tag) == (Done, "old"), "the rest of the repository goes on"
    assert (bench.others, manifests(bench)) == ([], 0)
    bench = bench.again()
    assert bench.apply(bench.plan(linux(Glob("[bw]*")))) == []
    assert bench.store.writes == []


def test_it_is_tried_again_when_it_moves_or_other_platforms_are_asked_for() -> None:
    bench = applied(windows=WINDOWS).again()
    bench.sources["a"].images["windows"] = BOTH
    (done,) = bench.apply(bench.plan(linux()))
    assert isinstance(done, Done)
    assert read_index(bench.store).index.repositories["a"].left_out == {}
    bench = applied(windows=WINDOWS).again()
    (done,) = bench.apply(bench.plan(mirror("a", platforms=(Platform.parse("windows/amd64"),))))
    assert isinstance(done, Done)
    check_visible(bench.store)


def test_a_tag_that_moves_to_such_an_image_stays_where_it_is() -> None:
    bench = applied(latest=BOTH).again()
    bench.sources["a"].images["latest"] = WINDOWS
    for expected in ([NotMirrored("a", "latest", REASON)], []):
        assert bench.apply(bench.plan(linux())) == []
        assert bench.others == expected
    state = read_index(bench.store).index.repositories["a"]
    assert (str(state.tags["latest"].digest), state.pending) == (BOTH.digest, frozenset())
    assert bench.store.objects[manifest_key("a", "latest")] == BOTH.body


@pytest.mark.parametrize("pattern", [Exact("windows"), Pinned("windows", Digest.parse(WINDOWS.digest))])
def test_named_exactly_it_is_a_failure(pattern: Pattern) -> None:
    bench, (failed,) = started(Glob("*"), pattern, windows=WINDOWS, other=WINDOWS)
    assert (type(failed), failed.change.tag) == (Failed, "windows")
    assert bench.others == [NotMirrored("a", "other", REASON)]


def test_a_plan_with_sizes_finds_it_out_and_an_apply_of_it_tells_once(tmp_path: Path) -> None:
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    write_layout(tmp_path / "images", {"both": BOTH, "windows": WINDOWS, "named": WINDOWS})
    declare(world, {"glob": "[bw]*"}, platforms=["linux/amd64"])
    sizes = world.plan("--sizes", "--out", "plan.json")
    (one,) = sizes["repositories"]
    assert one["left_out"]["windows"]["reason"] == REASON
    assert (changes(sizes), sizes["sizes"]["unread"]) == ([("add", "app", "both")], [])
    done = json.loads(world.run("apply", "plan.json", "--yes", "--format", "json").stdout)
    assert done["left_out"] == [{"target": "app", "tag": "windows", "reason": REASON}]
    assert "  ! windows  left out: no image for linux/amd64; it has windows/amd64\n" in world.run("plan").stdout
    declare(world, {"glob": "*"}, "named", platforms=["linux/amd64"])
    sizes = world.plan("--sizes", code=1)
    assert [entry["tag"] for entry in sizes["sizes"]["unread"]] == ["named"]


def test_what_an_apply_was_cut_off_at_is_settled_although_it_is_left_out() -> None:
    bench = applied(windows=WINDOWS, both=BOTH).again()
    write_index(
        bench.store,
        read_index(bench.store),
        lambda index: begun(index, "a", "memory/a", ["windows"]),
    )
    for _ in range(2):
        bench.apply(bench.plan(linux()))
    state = read_index(bench.store).index.repositories["a"]
    assert (set(state.tags), state.pending, set(state.left_out)) == ({"both"}, frozenset(), {"windows"})


def listed_without_a_manifest(bench: Bench, *patterns: Pattern) -> Plan:
    bench.sources["a"].images["broken"] = V3
    bench.sources["a"].failing["broken"] = NotFound("memory/a:broken", "no such manifest")
    bench.named = {"a": linux(*patterns).named}
    return bench.plan(linux(*patterns))


def test_a_listed_tag_without_a_manifest_is_left_out_and_told_once() -> None:
    bench = applied(keep=V1, old=V2)
    told = NotMirrored("a", "broken", "the source lists it, but has no manifest for it")
    (pruned,) = bench.apply(listed_without_a_manifest(bench, Glob("[bk]*")))
    assert (type(pruned), pruned.change.tag, bench.others) == (Done, "old", [told])
    bench = bench.again()
    plan = listed_without_a_manifest(bench, Glob("[bk]*"))
    assert plan.repositories[0].left_out == {"broken": LeftOut(None, told.reason)}
    assert bench.apply(plan) == []
    assert (bench.others, bench.store.writes) == ([], [])


def test_named_exactly_it_is_an_error_and_nothing_is_pruned() -> None:
    bench = applied(keep=V1, old=V2)
    plan = listed_without_a_manifest(bench, Glob("[bk]*"), Exact("broken"))
    assert plan.repositories[0].error
    assert bench.apply(plan) == []


def test_one_that_is_mirrored_already_is_kept_as_gone() -> None:
    bench = applied(keep=V1, broken=V3)
    plan = listed_without_a_manifest(bench)
    assert (plan.repositories[0].error, set(plan.repositories[0].gone or ())) == (None, {"broken"})
    assert not plan.has_changes
    again = bench.plan(replace(linux(), when_gone="prune"))
    assert not again.has_changes, "what the source lists is not unwanted, whatever else it says"
