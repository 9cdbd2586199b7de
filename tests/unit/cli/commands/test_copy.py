"""`r2mirror copy` and `r2mirror remove` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.mirrors.schema_files import load_schema
from tests.parts.images import app, write_layout
from tests.world import InProcess, World, changes, from_folder, walk


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = InProcess(tmp_path, {"type": "file", "path": "./here"})
    world.mirrors({"source": "oci:./images", "target": "team/app", "tags": ["1"]})
    write_layout(tmp_path / "images", {"1": app("1"), "2": app("2", "linux/amd64", "linux/arm64")})
    world.run("apply", "--yes")
    return world


def by_hand(world: World, *arguments: str) -> Any:
    document = json.loads(world.run(*arguments, "--format", "json").stdout)
    Draft202012Validator(load_schema("by-hand")).validate(document)
    return document


def test_one_image_is_copied_and_stays(world: World) -> None:
    told = world.run("copy", "oci:./images:2", "--yes").stdout
    digest = app("2", "linux/amd64", "linux/arm64").digest
    assert told == (
        f"Copied oci:./images:2 to team/app:2: {digest}.\n"
        "It is held: applies leave it as it is until `r2mirror release team/app:2`, or an edit of its entry in "
        "mirrors.yaml. Then the next apply prunes it: no pattern of tags chooses it.\n"
    )
    assert digest in walk(from_folder(world.folder / "here"), "team/app", digest)
    assert changes(world.plan()) == []
    history = world.run("history", "team/app:2").stdout
    assert "r2mirror copy oci:./images:2 --yes" in history
    assert "+ " in history
    world.run("release", "team/app:2")
    assert changes(world.plan()) == [("prune", "team/app", "2")]


def test_nothing_is_copied_without_consent(world: World) -> None:
    assert by_hand(world, "copy", "oci:./images:2", "--dry-run")["before"] is None
    told = world.run("copy", "oci:./images:2", code=1).stderr
    assert "Would copy oci:./images:2 to team/app:2" in told
    assert "add --yes to copy it" in told
    assert not (world.folder / "here/v2/team/app/manifests/2").exists()


def test_a_platform_and_a_target_can_be_chosen(world: World) -> None:
    world.run("copy", "oci:./images:2", "team/other", "--platform", "linux/arm64", "--yes")
    listed = json.loads(world.run("list", "team/other", "--format", "json").stdout)
    assert "linux/arm64" in json.dumps(listed)
    assert changes(world.plan()) == []


def test_one_tag_is_removed_and_stays_away(world: World) -> None:
    assert "add --yes to remove it" in world.run("remove", "team/app:1", code=1).stderr
    assert by_hand(world, "remove", "team/app:1", "--dry-run")["after"] is None
    told = world.run("remove", "team/app:1", "--yes").stdout
    assert told.startswith(f"Removed team/app:1, which pointed to {app('1').digest}.\nIt is held")
    assert "Then the next apply adds it again: 1 chooses it; to keep it away, add it to exclude." in told
    assert not (world.folder / "here/v2/team/app/manifests/1").exists()
    assert changes(world.plan()) == []
    assert "add the tag, e.g. team/app:latest" in world.run("remove", "team/app", code=1).stderr
    world.run("release", "team/app:1")
    assert changes(world.plan()) == [("add", "team/app", "1")]
