"""Errors as documents: with `--format json`, stdout is never empty."""

from __future__ import annotations

import inspect
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler import errors
from reconciler.cli.render.error import error_document
from reconciler.mirrors.schema_files import load_schema
from tests.world import InProcess, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    world.mirrors({"source": "oci:./images", "target": "app", "tags": ["1.0"]})
    return world


def read(text: str) -> dict[str, Any]:
    document = json.loads(text)
    Draft202012Validator(load_schema("error")).validate(document)
    found: dict[str, Any] = document["error"]
    return found


@pytest.mark.parametrize("name", [name for name, _ in inspect.getmembers(errors, inspect.isclass)])
def test_each_kind_of_error_has_a_name(name: str) -> None:
    kind = getattr(errors, name)
    if issubclass(kind, errors.NamedError) and kind.__init__ is errors.NamedError.__init__:
        found = read(json.dumps(error_document(kind("thing", "why"), "", "thing: why", 1)))
        assert (found["what"], found["message"]) == ("thing", "thing: why")
        assert found["kind"].replace("_", "") == name.lower()


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (("plan", "--nonsense"), "usage_error", "--nonsense"),
        (("nonsense",), "usage_error", "nonsense"),
        (("plan", "-f", "missing.yaml"), "mirrors_invalid", "missing.yaml"),
        (("apply", "plan.json", "--only", "a"), "usage_error", "saved plan"),
        (("list", "nothing"), "usage_error", "no repository"),
        (("gc", "--only", "ap"), "usage_error", "did you mean"),
        (("client-config", "nonsense"), "usage_error", "nonsense"),
    ],
)
def test_a_call_that_fails_prints_a_document(call: tuple[str, ...], kind: str, words: str, world: World) -> None:
    found = read(world.run(*call, "--format", "json", code=1).stdout)
    assert (found["kind"], found["exit_code"]) == (kind, 1)
    assert words in found["message"]
    assert found["advice"]


def test_problems_of_a_file_are_listed_with_their_places(world: World) -> None:
    (world.folder / "mirrors.yaml").write_text("version: 2\nmirrors: no\n")
    world.environ = {"R2MIRROR_FORMAT": "json"}
    found = read(world.run("plan", code=1).stdout)
    assert (found["kind"], found["file"], found["line"]) == ("mirrors_invalid", "mirrors.yaml", 1)
    assert [(one["line"], one["where"]) for one in found["problems"]][-1] == (2, "mirrors")


def test_text_gets_no_document(world: World) -> None:
    assert world.run("plan", "-f", "missing.yaml", code=1).stdout == ""


def test_a_result_is_not_followed_by_a_document(world: World) -> None:
    document = json.loads(world.run("apply", "--yes", "--format", "json", code=1).stdout)
    assert "outcomes" in document


def test_an_interruption_is_a_document(world: World) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("reconciler.plan.check.load_with_notes", lambda *_, **__: signal.raise_signal(signal.SIGINT))
        found = read(world.run("validate", "--format", "json", code=130).stdout)
    assert (found["kind"], found["exit_code"]) == ("interrupted", 130)
