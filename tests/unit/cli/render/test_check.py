"""What `validate` prints of several files, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from reconciler.mirrors.schema_files import load_schema
from tests.world import InProcess, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    world.mirrors({"source": "docker.io/library/app", "target": "app", "tags": ["1"]})
    return world


def test_the_json_of_valid_and_invalid_files(world: World) -> None:
    (world.folder / "bad.yaml").write_text("version: 1\nmirrors: no\nstore: {type: file, path: ./m}\n")
    printed = json.loads(world.run("validate", "mirrors.yaml", "bad.yaml", "--format", "json", code=1).stdout)
    Draft202012Validator(load_schema("validate")).validate(printed)
    good, bad = printed["files"]
    assert good == {"file": "mirrors.yaml", "valid": True, "mirrors": 1, "problems": [], "notes": []}
    assert not printed["valid"]
    assert (bad["valid"], bad["mirrors"]) == (False, None)
    assert [(one["line"], one["where"]) for one in bad["problems"]] == [(2, "mirrors")]


def test_the_json_names_files_that_clash_and_files_that_would_prune_each_other(world: World) -> None:
    mirrors = (world.folder / "mirrors.yaml").read_text()
    (world.folder / "same.yaml").write_text(mirrors)
    done = world.run("validate", "mirrors.yaml", "same.yaml", "--format", "json")
    assert json.loads(done.stdout)["warnings"][0] in done.stderr
    (world.folder / "other.yaml").write_text(json.dumps({**json.loads(mirrors), "name": "other"}))
    printed = json.loads(world.run("validate", "mirrors.yaml", "other.yaml", "--format", "json", code=1).stdout)
    assert "target app is that of mirrors.yaml too" in printed["clashes"][0]
    assert [one["valid"] for one in printed["files"]] == [True, True]


def test_a_note_names_every_entry_once_and_the_file_stays_valid(world: World) -> None:
    entry = {"semver": ">=1 <4", "newest": 3, "variant": "*-alpine"}
    world.mirrors({"source": "docker.io/library/app", "target": "app", "tags": ["1", entry, *[entry] * 22]})
    printed = world.run("validate", "-v").stdout
    valid, variants, floating = printed.splitlines()
    assert valid == "mirrors.yaml: valid, 1 mirror"
    assert "mirrors[0].tags[1]: note: `newest` counts a version once with all its variants" in variants
    assert "add `per: variant`; also mirrors[0].tags[2] (line " in variants
    assert variants.endswith(" and 2 more")
    assert "`floating: true` adds those of the chosen lines" in floating
    valid, summary = world.run("validate").stdout.splitlines()
    assert valid == "mirrors.yaml: valid, 1 mirror"
    assert summary.startswith("mirrors.yaml: note: 23 entries (lines ")
    assert summary.endswith(
        " and 3 more) may choose other tags than in earlier releases; `r2mirror validate -v` says why"
    )
    (file,) = json.loads(world.run("validate", "--format", "json").stdout)["files"]
    assert len(file["notes"]) == 46
    assert file["notes"][0]["where"] == "mirrors[0].tags[1]"
