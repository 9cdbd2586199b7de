"""A plan that removes a lot needs a confirmation: one message, and the same exit code from plan and apply."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.parts.images import image, write_layout
from tests.world import InProcess, World

TAGS = 3
TARGETS = [f"team/app{number}" for number in range(6)]
REASONS = (
    "15 of all 18 tags would be pruned, in 5 repositories; if that is meant, add --allow-prune",
    "5 of all 6 repositories would lose their last tag; if that is meant, add --allow-prune",
)


def entry(target: str) -> dict[str, Any]:
    return {"source": "oci:./images", "target": target, "tags": [{"glob": "*"}]}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A folder store with six repositories, of which mirrors.yaml has one left."""
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    write_layout(tmp_path / "images", {str(tag): image({"tag": str(tag)}) for tag in range(TAGS)})
    world.mirrors(*map(entry, TARGETS))
    world.run("apply", "--yes")
    world.mirrors(entry(TARGETS[0]))
    return world


def tags(world: World) -> int:
    index = json.loads((world.folder / "mirror/_mirror/index.json").read_text())
    return sum(len(one["tags"]) for one in index["repositories"].values())


def test_most_of_the_bucket_does_not_go_unasked(world: World) -> None:
    plan = world.run("plan", code=1).stdout.splitlines()
    assert plan[:2] == [f"! {reason}" for reason in REASONS]
    assert world.run("apply", "--dry-run", code=1).stdout.splitlines() == plan
    document = world.plan(code=1)
    assert document["held_back"] == list(REASONS)
    markdown = world.run("plan", "--format", "markdown", code=1).stdout
    assert markdown.startswith(f"**:no_entry: {REASONS[0]}**")
    done = world.run("apply", "--yes", code=1)
    assert done.stdout.count("--allow-prune") == 1, "one line, not one for each tag"
    assert f"15 prunes skipped  {REASONS[0]}" in " ".join(done.stdout.split(" ")).replace("   ", "  ")
    assert done.stderr == ""
    told = world.run("apply", "--yes", "--format", "json", code=1)
    assert told.stderr.count("--allow-prune") == 1
    assert len(json.loads(told.stdout)["outcomes"]) == 15
    assert tags(world) == 18


def test_it_goes_when_that_is_meant(world: World) -> None:
    plan = world.run("plan", "--allow-prune", "--out", "plan.json").stdout
    assert "--allow-prune" not in plan
    assert "15 to prune" in plan
    world.run("apply", "plan.json", "--yes", code=1)
    assert tags(world) == 18, "the word is not in the saved plan"
    world.run("plan", "--out", "plan.json", code=1)
    world.run("apply", "plan.json", "--yes", "--allow-prune")
    assert tags(world) == 3


def test_no_prune_is_not_held_back(world: World) -> None:
    assert "skipped" not in world.run("apply", "--yes", "--no-prune").stdout
    assert tags(world) == 18


def test_a_file_without_mirrors_is_not_valid(world: World) -> None:
    text = (world.folder / "mirrors.yaml").read_text()
    (world.folder / "mirrors.yaml").write_text(json.dumps({**json.loads(text), "mirrors": []}))
    for command in ("validate", "plan", "apply --yes"):
        told = world.run(*command.split(), code=1)
        assert "mirrors: is empty; write for example" in told.stdout + told.stderr
    assert tags(world) == 18
