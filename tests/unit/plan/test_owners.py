"""Two mirrors files and one bucket: each owns its repositories, and neither touches those of the other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.parts.images import image, write_layout
from tests.world import InProcess, World, changes

IMAGES = {"1": image({"a": "1"}), "2": image({"a": "2"})}


@pytest.fixture
def world(tmp_path: Path) -> World:
    write_layout(tmp_path / "images", IMAGES)
    return InProcess(tmp_path, {"type": "file", "path": "./mirror"})


def write(world: World, file: str, name: str | None, *targets: str) -> None:
    mirrors = [{"source": "oci:./images", "target": target, "tags": [{"glob": "*"}]} for target in targets]
    document = {"version": 1, **({"name": name} if name else {}), "store": world.store, "mirrors": mirrors}
    (world.folder / file).write_text(json.dumps(document))


def index(world: World) -> Mapping[str, Any]:
    found = json.loads((world.folder / "mirror/_mirror/index.json").read_text())["repositories"]
    assert isinstance(found, dict)
    return found


def owners(world: World) -> dict[str, str | None]:
    return {target: entry.get("owner") for target, entry in index(world).items()}


def without_owners(world: World) -> None:
    """The mirror index as the last release had it."""
    path = world.folder / "mirror/_mirror/index.json"
    document = json.loads(path.read_text())
    del document["min_writer"]
    for entry in document["repositories"].values():
        del entry["owner"]
    path.write_text(json.dumps({**document, "version": 1}))


def test_files_with_names_leave_each_other_alone(world: World) -> None:
    write(world, "a.yaml", "team-a", "a/one", "a/two")
    write(world, "b.yaml", "team-b", "b/one")
    world.run("apply", "-f", "a.yaml", "--yes")
    first = world.run("plan", "-f", "b.yaml").stdout
    assert "2 repositories of the mirrors file team-a: left alone\n" in first
    assert "to prune; " in first
    assert "0 to prune" in first
    world.run("apply", "-f", "b.yaml", "--yes")
    assert owners(world) == {"a/one": "team-a", "a/two": "team-a", "b/one": "team-b"}
    assert world.plan("-f", "a.yaml")["notes"] == ["1 repository of the mirrors file team-b: left alone"]
    assert "- 1 repository of the mirrors file team" in world.run("plan", "-f", "a.yaml", "--format", "markdown").stdout
    assert "No changes" in world.run("plan", "-f", "a.yaml", "--strict").stdout, "it is no warning"
    for file in ("a.yaml", "b.yaml"):
        assert world.run("apply", "-f", file, "--yes").stdout == "Nothing to do.\n"
    write(world, "a.yaml", "team-a", "a/one")
    assert changes(world.plan("-f", "a.yaml")) == [("prune", "a/two", "1"), ("prune", "a/two", "2")]


def test_two_files_that_claim_one_target_are_an_error_that_names_both(world: World) -> None:
    write(world, "a.yaml", None, "app")
    write(world, "b.yaml", "team-b", "app", "other")
    world.run("apply", "-f", "a.yaml", "--yes")
    plan = world.plan("-f", "b.yaml", code=1)
    refused = {one["target"]: one["error"] for one in plan["repositories"]}
    assert "app belongs to the mirrors file with `name: default`" in refused["app"]
    assert "`name: team-b`" in refused["app"]
    assert changes(plan) == [("add", "other", "1"), ("add", "other", "2")], "the others go on"
    world.run("apply", "-f", "b.yaml", "--yes", code=1)
    assert owners(world) == {"app": "default", "other": "team-b"}


def test_adopt_gives_a_repository_to_the_file_that_asks_and_the_other_one_prunes_nothing(world: World) -> None:
    """How a file is split, or renamed: nothing goes at any step."""
    write(world, "a.yaml", None, "app", "rest")
    write(world, "b.yaml", "team-b", "app")
    world.run("apply", "-f", "a.yaml", "--yes")
    shown = world.run("adopt", "-f", "b.yaml", "--yes")
    assert "= app is given to team-b, belongs to default now" in shown.stdout
    assert owners(world) == {"app": "team-b", "rest": "default"}
    assert world.plan("-f", "a.yaml", code=1)["summary"]["prune"] == 0
    write(world, "a.yaml", None, "rest")
    for file in ("a.yaml", "b.yaml"):
        assert world.run("apply", "-f", file, "--yes").stdout == "Nothing to do.\n"
    assert {target: len(entry["tags"]) for target, entry in index(world).items()} == {"app": 2, "rest": 2}
    assert world.run("adopt", "-f", "b.yaml", "--yes").stdout == "Nothing to adopt.\n"
    document = json.loads(world.run("adopt", "-f", "a.yaml", "--format", "json").stdout)
    assert document["claimed"] == []


def test_an_index_of_the_last_release_is_claimed_by_the_first_apply_and_nothing_is_pruned(world: World) -> None:
    write(world, "all.yaml", None, "app", "theirs", "dropped")
    world.run("apply", "-f", "all.yaml", "--yes")
    without_owners(world)
    write(world, "mirrors.yaml", "team-a", "app")
    plan = world.plan()
    assert changes(plan) == []
    assert plan["notes"] == ["2 repositories that no mirrors file has claimed: left alone (dropped, theirs)"]
    assert world.run("apply", "--yes").stdout == "Nothing to do.\n"
    assert owners(world) == {"app": "team-a", "dropped": None, "theirs": None}
    before = (world.folder / "mirror/_mirror/index.json").read_bytes()
    assert world.run("apply", "--yes").stdout == "Nothing to do.\n"
    assert (world.folder / "mirror/_mirror/index.json").read_bytes() == before, "and only the first"
    write(world, "b.yaml", "team-b", "theirs")
    world.run("apply", "-f", "b.yaml", "--yes")
    assert owners(world) == {"app": "team-a", "dropped": None, "theirs": "team-b"}
    assert all(len(entry["tags"]) == 2 for entry in index(world).values())


@pytest.mark.parametrize("command", ["gc", "apply --yes"])
def test_no_file_collects_what_another_one_retains(world: World, command: str) -> None:
    write(world, "a.yaml", "team-a", "app")
    write(world, "b.yaml", "team-b", "other")
    world.run("apply", "-f", "a.yaml", "--yes")
    shutil.rmtree(world.folder / "images")
    write_layout(world.folder / "images", {"1": IMAGES["1"]})
    document = json.loads((world.folder / "a.yaml").read_text())
    document["mirrors"][0]["tags"] = ["1"]
    (world.folder / "a.yaml").write_text(json.dumps(document))
    world.run("apply", "-f", "a.yaml", "--yes")
    assert len(index(world)["app"]["retired"]) == 1
    document = json.loads((world.folder / "b.yaml").read_text())
    (world.folder / "b.yaml").write_text(json.dumps({**document, "defaults": {"retain": "0s"}}))
    world.run(*command.split(), "-f", "b.yaml")
    assert len(index(world)["app"]["retired"]) == 1, "team-a keeps it for a week"


def test_validate_sees_two_files_that_cannot_share_a_bucket(world: World) -> None:
    write(world, "a.yaml", "team-a", "app", "one")
    write(world, "b.yaml", "team-b", "app", "two")
    told = world.run("validate", "a.yaml", "b.yaml", code=1).stdout
    assert "b.yaml: target app is that of a.yaml too, whose name is team-a and not team-b" in told
    write(world, "b.yaml", "team-b", "two")
    assert world.run("validate", "a.yaml", "b.yaml").stderr == ""
    write(world, "b.yaml", "team-a", "two")
    assert "a.yaml and b.yaml have one store and one name (team-a)" in world.run("validate", "a.yaml", "b.yaml").stderr


def test_a_name_is_a_word(world: World) -> None:
    write(world, "mirrors.yaml", "Team A", "app")
    assert "mirrors.yaml:1:24: name: " in world.run("validate", code=1).stdout


def test_validate_sees_a_registry_whose_state_is_in_another_target(tmp_path: Path) -> None:
    text = "version: 1\nname: {name}\nstore: {store}\nmirrors: [{{source: docker.io/library/alpine, tags: [a]}}]\n"
    state = "{type: registry, registry: h.example, state: {type: file, path: ./mirror}}"
    for name, store in (("a", "{type: file, path: ./mirror}"), ("b", state)):
        (tmp_path / f"{name}.yaml").write_text(text.format(name=name, store=store))
    told = InProcess(tmp_path, {}).run("validate", "a.yaml", "b.yaml", code=1).stdout
    assert "b.yaml: its mirror index would be in the same place as that of a.yaml" in told


def test_validate_sees_two_registries_with_one_state(tmp_path: Path) -> None:
    place = "type: registry, registry: h.example, prefix: {prefix}, state: {{type: file, path: s}}"
    text = f"version: 1\nname: {{name}}\nstore: {{{{{place}}}}}\n"
    for name, prefix in (("a", "one"), ("b", "two")):
        mirror = f"mirrors: [{{source: docker.io/library/alpine, target: {name}/x, tags: [a]}}]\n"
        (tmp_path / f"{name}.yaml").write_text(text.format(name=name, prefix=prefix) + mirror)
    world = InProcess(tmp_path, {})
    told = world.run("validate", "a.yaml", "b.yaml", code=1).stdout
    assert "b.yaml: its mirror index would be in the same place as that of a.yaml, which has another target" in told
    (tmp_path / "b.yaml").write_text((tmp_path / "b.yaml").read_text().replace("prefix: two", "prefix: one"))
    world.run("validate", "a.yaml", "b.yaml")
