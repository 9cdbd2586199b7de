"""`r2mirror rewrite`: edits, their check, and configurations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from reconciler.mirrors.schema_files import load_schema
from tests.world import InProcess, World

COMPOSE = "services:\n  a: {image: redis:7}\n  b: {image: nginx}\n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "Dockerfile").write_text("FROM redis:7 AS a\n")
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror", "public_url": "https://cr.example.com"})
    world.mirrors({"source": "redis", "tags": ["7"]})
    return world


def test_a_check_fails_until_the_edits_are_made(world: World) -> None:
    done = world.run("rewrite", "--offline", "--check", code=1)
    assert done.stdout == (
        "--- a/Dockerfile\n+++ b/Dockerfile\n@@ -1 +1 @@\n"
        "-FROM redis:7 AS a\n+FROM cr.example.com/library/redis:7 AS a\n"
        "--- a/compose.yaml\n+++ b/compose.yaml\n@@ -1,3 +1,3 @@\n services:\n"
        "-  a: {image: redis:7}\n+  a: {image: cr.example.com/library/redis:7}\n   b: {image: nginx}\n"
        "2 references to rewrite in 2 files.\n"
    )
    assert done.stderr == "note: compose.yaml:3:14: nginx keeps its name: not mirrored\n"
    assert (world.folder / "compose.yaml").read_text() == COMPOSE
    done = world.run("rewrite", "--offline")
    assert done.stdout == (
        "Dockerfile:1:6: redis:7 -> cr.example.com/library/redis:7\n"
        "compose.yaml:2:14: redis:7 -> cr.example.com/library/redis:7\n"
        "2 references rewritten in 2 files.\n"
    )
    assert world.run("rewrite", "--offline", "--check").stdout == "Nothing to rewrite.\n"


def test_the_mirror_index_decides_what_there_is(world: World) -> None:
    assert world.run("rewrite").stdout == "Nothing to rewrite.\n"
    assert "nothing to configure" in world.run("rewrite", "--to", "podman", code=1).stderr


def test_json_conforms_to_its_schema(world: World) -> None:
    (world.folder / "pod.yaml").write_text("kind: Pod\n")
    call = ("rewrite", "--offline", "--check", "--format", "json", "Dockerfile", "compose.yaml", "pod.yaml")
    document = json.loads(world.run(*call, code=1).stdout)
    Draft202012Validator(load_schema("rewrite")).validate(document)
    assert [(one["from"], one["to"]) for one in document["edits"]] == [
        ("redis:7", "cr.example.com/library/redis:7"),
        ("redis:7", "cr.example.com/library/redis:7"),
    ]
    assert [one["reference"] for one in document["kept"]] == ["nginx"]
    assert [one["file"] for one in document["problems"]] == ["pod.yaml"]


def test_configurations_for_all_sources_or_for_images_in_files(world: World) -> None:
    assert (
        '{name: "redis", newName: "cr.example.com/library/redis"}'
        in world.run("rewrite", "--offline", "--to", "kustomize").stdout
    )
    done = world.run("rewrite", "--offline", "--to", "kyverno", "compose.yaml")
    assert "kind: ClusterPolicy" in done.stdout
    assert done.stderr == "note: docker.io/library/nginx keeps its name: not mirrored\n"
    (world.folder / "values.yaml").write_text("web: {image: redis:7}\n")
    overlay = world.run("rewrite", "--offline", "--helm", "web.image", "values.yaml").stdout
    assert overlay == 'web:\n  image: "cr.example.com/library/redis:7"\n'


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--to", "podman", "--helm", "a", "x"), "choose one"),
        (("--to", "podman", "--format", "json"), "leave out --format"),
        (("--to", "podman", "--check"), "leave out --to"),
        (("--helm", "a"), "one values file"),
        (("-",), "stdin cannot be edited"),
    ],
)
def test_options_that_do_not_go_together(world: World, arguments: tuple[str, ...], words: str) -> None:
    assert words in world.run("rewrite", *arguments, code=1).stderr
