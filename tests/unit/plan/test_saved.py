"""An edited plan file cannot do anything that mirrors.yaml and the mirror index do not allow."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.parts.images import image, write_layout
from tests.world import InProcess, World

IMAGES = {"1.0": image({"a": "1"}), "2.0": image({"a": "2"}), "x": image({"a": "x"})}
OTHERS = {"evil": image({"a": "evil"}), "1.0": image({"a": "evil"})}
Document = dict[str, Any]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """`app` has one of two tags that are wanted, and `old` is not in mirrors.yaml any more: a plan of both."""
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    write_layout(tmp_path / "images", IMAGES)
    write_layout(tmp_path / "others", OTHERS)
    app = {"source": "oci:./images", "target": "app", "tags": ["1.0"]}
    world.mirrors(app, {**app, "target": "old"})
    world.run("apply", "--yes")
    world.mirrors({**app, "tags": ["1.0", "2.0"]})
    world.run("plan", "--out", "plan.json")
    return world


def repository(plan: Document, target: str) -> Document:
    found: Document = next(one for one in plan["repositories"] if one["target"] == target)
    return found


def another_source(plan: Document) -> None:
    repository(plan, "app")["source"] = "oci:./others"


def an_absolute_path(plan: Document) -> None:
    repository(plan, "app")["source"] = "oci:/etc"


def another_target(plan: Document) -> None:
    plan["repositories"].append({**repository(plan, "app"), "target": "evil/app"})


def another_target_as_it_is(plan: Document) -> None:
    repository(plan, "app")["target"] = "evil/app"


def other_platforms(plan: Document) -> None:
    repository(plan, "app")["platforms"] = ["linux/amd64"]


def referrer_types(plan: Document) -> None:
    repository(plan, "app")["referrer_types"] = ["*.sbom"]


def referrers(plan: Document) -> None:
    repository(plan, "app")["referrers"] = True


def a_tag_that_nothing_chooses(plan: Document) -> None:
    repository(plan, "app")["changes"][0]["tag"] = "x"


def a_tag_twice(plan: Document) -> None:
    changes = repository(plan, "app")["changes"]
    changes.append(copy.deepcopy(changes[0]))


def a_repository_twice(plan: Document) -> None:
    plan["repositories"].append(repository(plan, "app"))


def an_add_where_only_tags_go(plan: Document) -> None:
    repository(plan, "old")["changes"] = repository(plan, "app")["changes"]


def another_source_of_what_goes(plan: Document) -> None:
    repository(plan, "old")["source"] = "oci:./others"


def a_prune_of_what_is_not_there(plan: Document) -> None:
    repository(plan, "old")["changes"][0]["tag"] = "none"


def another_past(plan: Document) -> None:
    repository(plan, "old")["changes"][0]["before"]["digest"] = "sha256:" + "0" * 64


def an_add_of_what_is_there(plan: Document) -> None:
    repository(plan, "app")["changes"][0]["tag"] = "1.0"


def a_note_of_another_target(plan: Document) -> None:
    note = {"left_out": {"1.0": {"reason": "no such tag"}}, "changes": []}
    plan["repositories"] = [{**repository(plan, "app"), "target": "evil/app", **note}]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (another_source, "app: expected the source oci:./images, the plan has oci:./others"),
        (an_absolute_path, "app: expected the source oci:./images, the plan has oci:/etc"),
        (another_target, "evil/app: mirrors.yaml does not have it"),
        (another_target_as_it_is, "evil/app: mirrors.yaml does not have it"),
        (other_platforms, "app: expected the platforms of mirrors.yaml"),
        (referrers, "app: expected referrers: false"),
        (referrer_types, "app: expected the types of referrers of mirrors.yaml"),
        (a_note_of_another_target, "evil/app: mirrors.yaml does not have it"),
        (a_tag_that_nothing_chooses, "app: x: no pattern of mirrors.yaml chooses it"),
        (a_tag_twice, "app: 2.0 is there twice"),
        (a_repository_twice, "app is there twice"),
        (an_add_where_only_tags_go, "old: 2.0: mirrors.yaml does not have this repository"),
        (another_source_of_what_goes, "old: expected the source oci:./images"),
        (a_prune_of_what_is_not_there, "old: none: the mirror index has something else"),
        (another_past, "old: 1.0: the mirror index has something else there"),
        (an_add_of_what_is_there, "app: 1.0: the mirror index has something else there"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_an_edited_plan_is_refused(edit: Callable[[Document], None], words: str, world: World) -> None:
    plan = json.loads((world.folder / "plan.json").read_text())
    edit(plan)
    (world.folder / "plan.json").write_text(json.dumps(plan))
    before = stored(world)
    for option in (("--yes",), ("--dry-run",)):
        told = world.run("apply", "plan.json", *option, code=1).stderr
        assert "plan.json: is not a plan for this mirrors file; nothing was done" in told
        assert words in told
    assert stored(world) == before


def test_the_plan_as_it_was_made_is_done(world: World) -> None:
    done = world.run("apply", "plan.json", "--yes").stdout
    assert "\nApplied: 1 added, 0 updated, 1 pruned; " in done


def stored(world: World) -> Mapping[str, bytes]:
    return {str(path): path.read_bytes() for path in (world.folder / "mirror").rglob("*") if path.is_file()}


def test_no_number_in_a_plan_switches_the_guard_off(world: World) -> None:
    write_layout(world.folder / "images", {f"{number}.0": image({"n": str(number)}) for number in range(20)})
    world.mirrors({"source": "oci:./images", "target": "app", "tags": [{"glob": "*"}]})
    world.run("apply", "--yes")
    world.mirrors({"source": "oci:./images", "target": "app", "tags": ["1.0"]})
    plan = world.plan("--out", "plan.json", code=1)
    assert len(repository(plan, "app")["changes"]) > 12
    repository(plan, "app")["unchanged"] = 1_000_000
    plan["index"] |= {"tags": 1_000_000, "repositories": 1_000_000}
    del plan["held_back"]
    (world.folder / "plan.json").write_text(json.dumps(plan))
    assert (
        "tags would be pruned; if that is meant, add --allow-prune"
        in world.run("apply", "plan.json", "--yes", code=1).stdout
    )
    assert len(json.loads((world.folder / "mirror/v2/app/tags/list").read_text())["tags"]) > 12
