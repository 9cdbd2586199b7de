"""What a call writes to stderr: lines for people or JSON objects, and nothing with `--quiet` unless there is news."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli.log import entry, manner
from tests.parts.images import image, write_layout
from tests.parts.terminal import on_a_terminal
from tests.world import InProcess, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A folder store fed from an image layout with one tag; nothing applied yet."""
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    write_layout(tmp_path / "images", {"1.0": image({"a": "1"})})
    world.mirrors({"source": "oci:./images", "target": "app", "tags": [{"glob": "*"}]})
    return world


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@given(st.text(), st.text())
def test_an_entry_is_one_line_of_json_whatever_is_in_it(message: str, name: str) -> None:
    line = entry("info", message, repository=name, tag=None)
    assert (line.count("\n"), line.isascii(), "##[" in line) == (1, True, False)
    read = json.loads(line)
    assert (read["message"], read["repository"], "tag" in read) == (message, name, False)
    assert datetime.fromisoformat(read["time"]).tzinfo


@pytest.mark.parametrize("call", [("--log-format", "json", "-v", "apply"), ("apply", "--log-format=json", "-v")])
def test_a_log_in_json_has_the_fields_that_there_are(call: tuple[str, ...], world: World) -> None:
    lines = objects(world.run(*call, "--yes").stderr)
    published = [one for one in lines if one["message"].startswith("published app:1.0 at ")]
    assert [(one["repository"], one["tag"], one["digest"][:7]) for one in published] == [("app", "1.0", "sha256:")]
    (settled,) = [one for one in lines if one.get("action")]
    assert (settled["message"], settled["action"], settled["level"]) == ("+ app:1.0", "add", "info")
    assert settled["bytes"] > 0


def test_errors_warnings_and_notes_are_json_too(world: World) -> None:
    (refused,) = objects(world.run("apply", "--log-format", "json", code=1).stderr)
    assert refused["level"] == "error"
    assert "add --yes" in refused["message"]
    (invalid,) = objects(world.run("plan", "-f", "missing.yaml", "--log-format", "json", code=1).stderr)
    assert (invalid["kind"], invalid["file"], invalid["line"]) == ("mirrors_invalid", "missing.yaml", 1)
    assert invalid["page"] == "mirrors"
    (wrong,) = objects(world.run("plan", "--nonsense", "--log-format", "json", code=1).stderr)
    assert "--nonsense" in wrong["message"]
    (note,) = objects(world.run("--log-format", "json", "plan", "--out", "p.json").stderr)
    assert (note["level"], note["message"][:12]) == ("info", "saved p.json")
    world.mirrors({"source": "oci:./images", "target": "app", "tags": [{"glob": "*"}, {"glob": "9*"}]})
    warned = objects(world.run("apply", "--yes", "--log-format", "json").stderr)
    assert [one["message"] for one in warned if one["level"] == "warning"] == [
        'app: glob "9*" chooses none of 1 tag; newest is 1.0'
    ]


@pytest.mark.parametrize(
    ("command", "news"),
    [
        (("apply", "--yes"), True),
        (("apply", "--yes"), False),
        (("plan",), False),
        (("validate",), False),
        (("verify",), False),
        (("gc",), False),
        (("adopt", "--yes"), False),
        (("diff", "mirrors.yaml", "mirrors.yaml"), False),
    ],
    ids=str,
)
def test_a_quiet_call_prints_only_news(command: tuple[str, ...], news: bool, world: World) -> None:
    if not news:
        world.run("apply", "--yes")
    done = world.run("-q", *command)
    assert (bool(done.stdout), done.stderr) == (news, "")


def test_a_warning_and_a_failure_are_news(world: World) -> None:
    world.run("apply", "--yes")
    (next((world.folder / "mirror").glob("v2/app/blobs/*"))).write_bytes(b"")
    assert "! v2/app/blobs/" in world.run("verify", "--quiet", code=1).stdout
    world.mirrors({"source": "oci:./images", "target": "app", "tags": [{"glob": "*"}, {"glob": "9*"}]})
    assert "Nothing to do; 1 warning." in world.run("apply", "--yes", "--quiet").stdout
    assert "warning: " in world.run("plan", "--quiet").stdout
    (world.folder / "mirrors.yaml").write_text("version: 2\n")
    assert "version" in world.run("validate", "--quiet", code=1).stdout


def test_a_document_is_printed_however_quiet_the_call(world: World) -> None:
    world.run("apply", "--yes")
    assert json.loads(world.run("plan", "--quiet", "--format", "json").stdout)["summary"]["unchanged"] == 1


def test_times_have_a_date_and_a_zone_unless_they_are_for_a_terminal(world: World) -> None:
    moment = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d reconciler\."
    assert re.search(moment, world.run("-v", "apply", "--yes").stderr, re.MULTILINE)
    assert re.search(r"(?<![T\d])\d\d:\d\d:\d\d\.\d{3} reconciler\.", on_a_terminal(world, "", "-v", "plan")[1])


def test_a_call_leaves_nothing_of_its_manner_to_the_next_one(world: World) -> None:
    before = manner()
    world.run("--log-format", "json", "-q", "-v", "plan", "--nonsense", code=1)
    world.run("--log-format", "json", "-q", "-v", "validate")
    assert manner() is before
