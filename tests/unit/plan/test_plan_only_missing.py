"""`--only-missing` adds what is not mirrored yet, without a request for what is; it updates and prunes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.parts.images import Image, image, write_layout
from tests.world import InProcess, World, changes

if TYPE_CHECKING:
    from collections.abc import Mapping

V1, V2 = image({"v": "1"}), image({"v": "2"})


def write(folder: Path, images: Mapping[str, Image]) -> None:
    layout = folder / "images"
    if layout.exists():
        (layout / "index.json").unlink()
    write_layout(layout, images)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Tags that are to be added, updated and pruned: 3, 2 and 0."""
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    write(tmp_path, {"0": V1, "1": V1, "2": V1})
    world.mirrors({"source": "oci:./images", "target": "a", "tags": [{"glob": "*"}], "when_gone": "prune"})
    world.apply()
    write(tmp_path, {"1": V1, "2": V2, "3": V2})
    return world


def tags(world: World) -> dict[str, str]:
    index = json.loads((world.folder / "mirror/_mirror/index.json").read_text())
    return {tag: one["digest"] for tag, one in index["repositories"]["a"]["tags"].items()}


OLD = {"0": V1.digest, "1": V1.digest, "2": V1.digest}


def test_only_adds_are_planned_and_applied(world: World) -> None:
    assert changes(world.plan()) == [("add", "a", "3"), ("update", "a", "2"), ("prune", "a", "0")]
    plan = world.plan("--only-missing")
    assert changes(plan) == [("add", "a", "3")]
    assert plan["summary"] == {"add": 1, "update": 0, "prune": 0, "unchanged": 3, "errors": 0}
    assert "those that are mirrored are neither updated nor pruned" in world.run("plan", "--only-missing").stdout
    assert world.apply("--only-missing")["summary"]["done"] == 1
    assert tags(world) == {**OLD, "3": V2.digest}
    assert world.apply("--only-missing")["summary"]["done"] == 0
    world.apply()
    assert tags(world) == {"1": V1.digest, "2": V2.digest, "3": V2.digest}


@pytest.mark.parametrize("option_of_plan", [True, False])
def test_a_saved_plan_does_no_more(option_of_plan: bool, world: World) -> None:
    world.run("plan", "--out", "plan.json", *(["--only-missing"] if option_of_plan else []))
    assert world.apply("plan.json", *([] if option_of_plan else ["--only-missing"]))["summary"]["done"] == 1
    assert tags(world) == {**OLD, "3": V2.digest}
