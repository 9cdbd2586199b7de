"""`r2mirror tags`: from a file, from a source, and for a mirror of a mirrors file."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli.inputs import read_tag_list
from reconciler.errors import UsageError
from reconciler.mirrors.document import STDIN
from reconciler.mirrors.schema_files import load_schema
from tests.parts.images import app, write_layout
from tests.world import InProcess, World

LIST = "1.0\n1.1\r\n\n 1.10 \n1.1\nlatest\n"
NEWEST = '{semver: ">=1", newest: 1}'


@pytest.fixture
def world(tmp_path: Path) -> World:
    image = app("1")
    write_layout(tmp_path / "layout", dict.fromkeys(("1.0", "1.1", "2.0-rc1", "latest"), image))
    (tmp_path / "list.txt").write_text(LIST)
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    world.mirrors({"source": "oci:layout", "target": "app", "tags": [{"semver": "*", "newest": 1}], "exclude": ["1.1"]})
    return world


def test_a_list_without_a_source(world: World) -> None:
    assert world.run("tags", "--from", "list.txt", NEWEST).stdout == (
        "- 1.0     older than the newest 1\n"
        "- 1.1     older than the newest 1\n"
        "- latest  not a version\n"
        "\n"
        "+ 1.10\n"
        "\n"
        "1 of 4 tags chosen.\n"
    )


def test_of_several_patterns_each_tag_names_its_own_and_a_floating_one_its_version(world: World) -> None:
    done = world.run("tags", "--from", "list.txt", NEWEST, "{glob: '1*'}", "latest")
    assert done.stdout == (
        '+ 1.0     glob "1*"\n'
        '+ 1.1     glob "1*"\n'
        '+ 1.10    semver ">=1", newest 1\n'
        "+ latest  latest\n"
        "\n"
        "4 of 4 tags chosen.\n"
    )
    (world.folder / "list.txt").write_text("1\n1.0\n1.1\n2-slim\n2.1-slim\n")
    done = world.run("tags", "--from", "list.txt", "{semver: '*', newest: 1, floating: true}")
    assert done.stdout.endswith("\n+ 1    a name of 1.1\n+ 1.1\n\n2 of 5 tags chosen.\n")
    assert "- 2-slim    of another variant\n" in done.stdout
    done = world.run("tags", "--from", "list.txt", "{semver: '*', variant: '*', newest: 1}")
    assert "- 2-slim  a floating tag, a name of 2.1-slim\n" in done.stdout


def test_lines_that_are_not_tags(world: World) -> None:
    (world.folder / "list.txt").write_text("v1.0\ncmd/ctl/v1.12.0\na b\nv1.1\n")
    done = world.run("tags", "--from", "list.txt", NEWEST)
    assert "1 of 2 tags chosen" in done.stdout
    assert done.stderr == "warning: list.txt:2: 'cmd/ctl/v1.12.0' is not a valid tag; 2 such lines are passed over\n"


def test_a_list_of_a_source(world: World) -> None:
    done = world.run("tags", "--from", "list.txt", "docker.io/library/app", "1.0", "3")
    assert "! 3  is named, but not in the list" in done.stdout
    assert done.stdout.endswith("\n1 of 4 tags of docker.io/library/app chosen.\n")


def test_without_patterns_a_tag_a_line(world: World) -> None:
    assert world.run("tags", "--from", "list.txt", "app").stdout == "1.0\n1.1\n1.10\nlatest\n"


def test_a_source(world: World) -> None:
    done = world.run("tags", "oci:layout", "{semver: '*', prereleases: true}")
    assert "+ 2.0-rc1" in done.stdout
    assert "3 of 4 tags of oci:layout chosen." in done.stdout


def test_a_mirror_of_a_mirrors_file(world: World) -> None:
    done = world.run("tags", "-f", "mirrors.yaml", "app")
    assert "- 1.1      excluded by 1.1\n" in done.stdout
    assert "\n+ 1.0\n" in done.stdout
    assert "+ 2.0-rc1\n" in world.run("tags", "-f", "mirrors.yaml", "app", "{glob: '2*'}").stdout


def test_a_target_that_does_not_exist(world: World) -> None:
    done = world.run("tags", "-f", "mirrors.yaml", "apt", code=1)
    assert "apt: not a target of mirrors.yaml; did you mean app? Without -f, it is a source" in done.stderr


def test_json(world: World) -> None:
    done = world.run("tags", "oci:layout", NEWEST, "9", "{glob: 'z*'}", "--format", "json")
    printed = json.loads(done.stdout)
    Draft202012Validator(load_schema("tags")).validate(printed)
    assert [(one["tag"], one["chosen"]) for one in printed["tags"]] == [
        ("1.0", False),
        ("1.1", True),
        ("2.0-rc1", False),
        ("latest", False),
    ]
    assert printed["missing"] == ["9"]
    assert printed["warnings"][0] in done.stderr
    without = json.loads(world.run("tags", "--from", "list.txt", NEWEST, "--format", "json").stdout)
    Draft202012Validator(load_schema("tags")).validate(without)
    assert without["source"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([NEWEST], "is a pattern; the source comes before it"),
        (["oci:layout", "{semver: 1.10}"], "semver: YAML reads this as the number 1.1; write it in quotes"),
        (["oci:nothing", NEWEST], "oci:nothing"),
        (["A B", NEWEST], "A B"),
        (["--from", "nothing.txt", NEWEST], "nothing.txt: cannot be read: No such file"),
    ],
)
def test_what_is_wrong(world: World, arguments: list[str], words: str) -> None:
    assert words in world.run("tags", *arguments, code=1).stderr


def test_a_mirrors_file_that_is_being_edited_is_in_nobodys_way(world: World) -> None:
    (world.folder / "mirrors.yaml").write_text("version: 1\n")
    done = world.run("tags", "oci:layout", "1.0")
    assert "warning: the registries of mirrors.yaml do not apply, because it is not valid: " in done.stderr
    assert "1 of 4 tags" in done.stdout


def test_what_a_list_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "list"
    place.write_bytes(b"\xef\xbb\xbf1.0\n")
    assert read_tag_list(place) == ("1.0",)
    place.write_bytes(b"\xff\n")
    with pytest.raises(UsageError, match=r":1: .* is not a valid tag; write one tag a line"):
        read_tag_list(place)
    place.write_bytes(b"1.0\n")
    monkeypatch.setattr("reconciler.cli.inputs.MAX_LIST_BYTES", 3)
    with pytest.raises(UsageError, match="larger than 3 bytes"):
        read_tag_list(place)
    with patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\n"))):
        assert read_tag_list(STDIN) == ("a",)
