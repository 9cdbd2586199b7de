"""jsonschema and ruamel.yaml are loaded for a file that has not conformed before, and for no other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from reconciler.mirrors import conforming, schema_check
from reconciler.mirrors.files import OnDisk, read_files
from reconciler.mirrors.parse import parse_document
from reconciler.mirrors.schema_check import check_schema
from tests.world import World

GOOD = (
    b"version: 1\nstore: {type: file, path: bucket}\nmirrors: [{source: a.example/b, target: c, tags: [{glob: x}]}]\n"
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "mirrors.yaml").write_bytes(GOOD)
    return World(tmp_path, {})


def loads_what_reads(world: World) -> bool:
    call = [sys.executable, "-X", "importtime", "-m", "reconciler", "validate"]
    done = subprocess.run(call, cwd=world.folder, env=world.environment, capture_output=True, text=True, check=True)
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "typer" in modules, "the list of modules is read rightly"
    assert ("jsonschema" in modules) == ("ruamel.yaml" in modules)
    return "jsonschema" in modules


@pytest.mark.slow
def test_a_file_is_parsed_and_validated_once(world: World) -> None:
    assert [loads_what_reads(world), loads_what_reads(world)] == [True, False]
    (world.folder / "mirrors.yaml").write_bytes(GOOD + b"#")
    assert [loads_what_reads(world), loads_what_reads(world)] == [True, False]


def checked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Notes each validation."""
    made: list[object] = []
    make = schema_check._validator

    def noted(schema: Mapping[str, Any]) -> object:
        made.append(make(schema))
        return made[-1]

    monkeypatch.setattr(schema_check, "_validator", noted)
    return made


def test_another_version_or_another_schema_validates_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = checked(monkeypatch)
    file = OnDisk(world.folder / "mirrors.yaml")
    for _ in range(2):
        read_files(file)
    assert len(made) == 1
    monkeypatch.setattr(conforming, "__version__", "0.0.0")
    read_files(file)
    assert len(made) == 2
    monkeypatch.setattr(conforming, "schema_bytes", lambda name: b"{}")
    read_files(file)
    assert len(made) == 3


def test_a_file_with_a_problem_is_validated_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = checked(monkeypatch)
    for _ in range(2):
        document = parse_document(GOOD.replace(b"target", b"goal"), "mirrors.yaml")
        check_schema(document)
        assert document.problems
    assert len(made) == 2


@pytest.mark.slow
def test_what_a_schema_cannot_express_is_checked_each_time(world: World) -> None:
    bad = GOOD.replace(b"target: c", b"target: v2/_catalog")
    (world.folder / "mirrors.yaml").write_bytes(bad)
    for _ in range(2):
        assert "_catalog" in world.run("validate", code=1).stdout
