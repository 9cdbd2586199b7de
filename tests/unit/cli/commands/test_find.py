"""`r2mirror find`: the images of a folder, those that are not mirrored, and entries for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from reconciler.mirrors.schema_files import load_schema
from tests.parts.images import app, write_layout
from tests.world import InProcess, World

WEB = """\
apiVersion: v1
kind: Pod
spec:
  containers:
  - image: quay.io/x/y:1.2
  - image: alpine:3.20
    env: [{name: A, value: "ghcr.io/a/b:1"}]
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "web.yaml").write_text(WEB)
    (tmp_path / "deploy" / "Dockerfile").write_text("FROM ${BASE}\nFROM alpine:3.20\n")
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    world.mirrors({"source": "alpine", "tags": [{"semver": ">=3.18"}]})
    return world


def test_references_with_where_they_stand(world: World) -> None:
    done = world.run("find", "deploy")
    assert done.stdout == (
        "deploy/Dockerfile:2:6: alpine:3.20  FROM\n"
        "deploy/web.yaml:5:12: quay.io/x/y:1.2  spec.containers[0].image\n"
        "deploy/web.yaml:6:12: alpine:3.20  spec.containers[1].image\n"
        "2 images in 2 files.\n"
    )
    assert done.stderr == "note: deploy/Dockerfile:1:6: FROM: ${BASE} is not resolved: BASE has no default\n"
    assert "ghcr.io/a/b:1" in world.run("find", "--env", "deploy").stdout


def test_what_is_missing_is_an_error(world: World) -> None:
    done = world.run("find", "--missing", "deploy", code=1)
    assert done.stdout == (
        "deploy/web.yaml:5 uses quay.io/x/y:1.2, which mirrors.yaml does not mirror\n1 of 2 images not mirrored.\n"
    )
    assert world.run("find", "--missing", "deploy/Dockerfile").stdout == "1 image, all of them mirrored.\n"


def test_entries_are_valid_and_cover_what_was_missing(world: World) -> None:
    entries = world.run("find", "--missing", "--mirrors", "deploy", code=1).stdout
    assert entries == (
        "mirrors:\n"
        "  - source: quay.io/x/y  # deploy/web.yaml:5\n"
        "    tags:\n"
        '      - "1.2"\n'
        '      - {semver: ">=1.2 <2", newest: 1, per: minor}\n'
    )
    every = world.run("find", "--mirrors", "deploy").stdout
    (world.folder / "mirrors.yaml").write_text(f"version: 1\nstore: {{type: file, path: m}}\n{every}")
    world.run("validate")
    world.run("find", "--missing", "deploy")


def test_json_conforms_to_its_schema(world: World) -> None:
    (world.folder / "deploy" / "bad.yaml").write_text("image: [\n")
    document = json.loads(world.run("find", "--missing", "--format", "json", "deploy", code=1).stdout)
    Draft202012Validator(load_schema("find")).validate(document)
    (image,) = document["images"]
    assert image["image"] == "quay.io/x/y:1.2"
    assert image["missing"] == "which mirrors.yaml does not mirror"
    assert [one["why"] for one in document["unresolved"]] == ["BASE has no default"]
    assert [(one["file"], one["line"]) for one in document["problems"]] == [("deploy/bad.yaml", 2)]


def test_a_file_that_is_named_and_cannot_be_read_is_an_error(world: World) -> None:
    (world.folder / "deploy" / "bad.yaml").write_text("image: x:1\n---\nimage: [\n")
    done = world.run("find", "deploy/bad.yaml", code=1)
    assert done.stdout.endswith("1 image in 1 file.\n")
    assert done.stderr.startswith("warning: deploy/bad.yaml:4:1: not YAML: ")
    world.run("find", "deploy")


def test_what_the_store_does_not_have(world: World) -> None:
    write_layout(world.folder / "layout", {"3.20": app("1")})
    world.mirrors({"source": "oci:layout", "target": "library/alpine", "tags": ["3.20"]})
    world.run("apply", "--yes")
    (world.folder / "deploy" / "web.yaml").unlink()
    done = world.run("find", "--missing", "--published", "deploy", code=1)
    assert done.stdout.startswith("deploy/Dockerfile:2 uses alpine:3.20, which the mirror does not have\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mirrors", "--format", "json"], "--mirrors writes YAML"),
        (["--published"], "add --missing"),
        (["--store", "x"], "--published"),
        (["-", "--missing", "-f", "-"], "stdin can be read only once"),
        (["nowhere"], "nowhere: does not exist"),
        (["--missing", "-f", "nowhere.yaml"], "nowhere.yaml:1:1: does not exist"),
    ],
)
def test_calls_that_make_no_sense(world: World, arguments: list[str], words: str) -> None:
    assert words in world.run("find", *arguments, code=1).stderr


def test_github_shows_what_is_missing_at_its_line(world: World) -> None:
    world.environ = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(world.folder)}
    done = world.run("find", "--missing", "deploy", code=1)
    assert "::error file=deploy/web.yaml,line=5,col=12::uses quay.io/x/y:1.2, which mirrors.yaml" in done.stderr
