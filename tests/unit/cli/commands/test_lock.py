"""`r2mirror lock`, `plan --locked` and `apply --locked` as a user meets them: mirrors.lock is what is mirrored."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.mirrors.schema_files import load_schema
from tests.parts.images import app, write_layout
from tests.world import InProcess, World, changes

MIRROR = {"source": "oci:./images", "target": "team/app", "tags": [{"glob": "*"}]}
OTHER = {"source": "oci:./images", "target": "team/other", "tags": ["1"]}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = InProcess(tmp_path, {"type": "file", "path": "./here"})
    world.mirrors(MIRROR, OTHER)
    write_layout(tmp_path / "images", {"1": app("1"), "2": app("2")})
    return world


def locked(world: World, *arguments: str, code: int = 0) -> Any:
    document = json.loads(world.run("lock", *arguments, "--format", "json", code=code).stdout)
    Draft202012Validator(load_schema("locking")).validate(document)
    return [(one["kind"], one["target"], one["tag"]) for one in document["changes"]]


def lockfile(world: World) -> str:
    return (world.folder / "mirrors.lock").read_text()


def push(world: World, **images: str) -> None:
    write_layout(world.folder / "images", {tag.removeprefix("v"): app(content) for tag, content in images.items()})


def test_what_is_locked_is_what_is_mirrored_whatever_has_moved_since(world: World) -> None:
    assert locked(world) == [("added", "team/app", "1"), ("added", "team/app", "2"), ("added", "team/other", "1")]
    assert not (world.folder / "here").exists(), "a lock writes nothing to the store"
    push(world, v1="moved", v2="2", v3="new")
    assert changes(world.plan("--locked")) == [
        ("add", "team/app", "1"),
        ("add", "team/app", "2"),
        ("add", "team/other", "1"),
    ]
    world.apply("--locked")
    assert changes(world.plan("--locked")) == []
    assert changes(world.plan()) == [
        ("add", "team/app", "3"),
        ("update", "team/app", "1"),
        ("update", "team/other", "1"),
    ]
    before = lockfile(world)
    assert locked(world) == []
    assert lockfile(world) == before
    assert locked(world, "--update", "team/app") == [("moved", "team/app", "1"), ("added", "team/app", "3")]
    assert changes(world.plan("--locked")) == [("add", "team/app", "3"), ("update", "team/app", "1")]
    assert locked(world, "--update") == [("moved", "team/other", "1")]


def test_a_tag_that_is_not_locked_any_more_is_pruned(world: World) -> None:
    locked(world)
    world.apply("--locked")
    world.mirrors({**MIRROR, "tags": ["1"]}, OTHER)
    assert locked(world) == [("removed", "team/app", "2")]
    assert changes(world.plan("--locked")) == [("prune", "team/app", "2")]


def test_renamed_tags_are_locked_by_their_names_in_the_store(world: World) -> None:
    renamed = {**MIRROR, "tags": [{"regex": "(.)"}], "rename": "v{1}-mirror"}
    world.mirrors(renamed)
    assert locked(world) == [("added", "team/app", "v1-mirror"), ("added", "team/app", "v2-mirror")]
    assert f'"v1-mirror": {app("1").digest} of 1\n' in lockfile(world)
    plan = world.plan("--locked")
    assert changes(plan) == [("add", "team/app", "v1-mirror"), ("add", "team/app", "v2-mirror")]
    assert plan["repositories"][0]["changes"][0]["source_tag"] == "1"
    world.apply("--locked")
    assert changes(world.plan()) == []


def test_a_saved_plan_of_a_lockfile_is_applied(world: World) -> None:
    locked(world)
    world.run("plan", "--locked", "--out", "it.json")
    world.apply("it.json", "--locked")
    assert changes(world.plan("--locked")) == []


def test_a_lockfile_that_is_stale_is_refused_with_what_to_do(world: World) -> None:
    assert "write it with `r2mirror lock`" in world.run("plan", "--locked", code=1).stderr
    locked(world)
    world.mirrors({**MIRROR, "exclude": ["2"]}, {**OTHER, "target": "team/third"})
    told = world.run("plan", "--locked", code=1).stderr
    assert "mirrors.lock: is not up to date with mirrors.yaml" in told
    assert "team/app: its source, tags, exclude or rename has changed in mirrors.yaml since it was locked" in told
    assert "team/third: mirrors.yaml has this target, and the lockfile does not; run `r2mirror lock`" in told
    assert "team/other: mirrors.yaml no longer has this target" in told
    assert world.run("apply", "--yes", "--locked", code=1).stderr == told
    problems = world.run("validate", code=1).stdout
    assert re.search(
        r"mirrors\.lock:\d+:\d+: repositories\.team/app: its source, tags, exclude or rename has changed", problems
    )
    assert locked(world) == [
        ("removed", "team/app", "2"),
        ("removed", "team/other", "1"),
        ("added", "team/third", "1"),
    ]
    assert changes(world.plan("--locked")) == [("add", "team/app", "1"), ("add", "team/third", "1")]
    world.run("validate")


def test_only_a_part_of_a_stale_lockfile_can_be_used(world: World) -> None:
    locked(world)
    world.mirrors({**MIRROR, "exclude": ["2"]}, OTHER)
    assert changes(world.plan("--locked", "--only", "team/other")) == [("add", "team/other", "1")]


def test_a_digest_that_is_gone_at_the_source_is_a_failure_that_says_so(world: World) -> None:
    locked(world)
    shutil.rmtree(world.folder / "images")
    push(world, v1="moved", v2="2")
    told = world.plan("--locked", code=1)
    error = told["repositories"][0]["error"]
    assert f"oci:./images:1: the source no longer has {app('1').digest}, which mirrors.lock has for this tag" in error
    assert "`r2mirror lock --update team/app`" in error


def test_what_is_locked_of_a_source_that_is_down_stays(world: World) -> None:
    locked(world)
    before = lockfile(world)
    (world.folder / "images").rename(world.folder / "away")
    done = world.run("lock", "--update", code=1)
    assert "error: team/app: oci:./images" in done.stderr
    assert lockfile(world) == before


def test_a_tag_that_the_source_has_lost_stays_locked(world: World) -> None:
    locked(world)
    world.apply("--locked")
    push(world, v1="1")
    assert locked(world, "--update") == []
    assert changes(world.plan("--locked")) == []


def test_what_is_shown(world: World) -> None:
    told = world.run("lock").stdout
    assert f"+ team/app:1 {app('1').digest[:19]}\n" in told
    assert "mirrors.lock: 3 added, 0 moved, 0 removed; 3 tags in 2 repositories." in told
    assert "mirrors.lock: no change; 3 tags in 2 repositories." in world.run("lock").stdout
    push(world, v1="moved", v2="2")
    told = world.run("lock", "--update", "--format", "markdown").stdout
    assert told.startswith("**mirrors.lock: 0 added, 2 moved, 0 removed; 3 tags in 2 repositories.**\n")
    assert f"| `~` | `team/app:1` | {app('1').digest[:19]} -> {app('moved').digest[:19]} |" in told


def test_what_differs_from_another_lockfile_is_shown(world: World) -> None:
    (world.folder / "base.lock").write_text("version: 1\nrepositories: {}\n")
    locked(world)
    assert locked(world) == []
    assert len(locked(world, "--base", "base.lock")) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("lock", "team/app"), "add --update"),
        (("lock", "--update", "team/apq"), "mirrors.yaml has no such target; did you mean team/app?"),
        (("lock", "--base", "none.lock"), "--base none.lock: this file does not exist"),
        (("lock", "-f", "-"), "a mirrors file on stdin has no lockfile"),
        (("plan", "--locked", "-f", "-"), "a mirrors file on stdin has no lockfile"),
    ],
)
def test_calls_that_are_refused(world: World, arguments: tuple[str, ...], words: str) -> None:
    assert words in world.run(*arguments, code=1).stderr


def test_a_lockfile_with_problems_is_refused_and_kept(world: World) -> None:
    (world.folder / "mirrors.lock").write_text("version: 2\nrepositories: [x]\n")
    for arguments in (("lock",), ("plan", "--locked"), ("validate",)):
        done = world.run(*arguments, code=1)
        told = done.stdout + done.stderr
        assert "mirrors.lock:1:10: version: expected 1" in told
        assert "mirrors.lock:2:15: repositories: expected keys with values" in told
    assert lockfile(world).startswith("version: 2")
