"""What GitHub Actions is told by itself: annotations at lines, and the summary of the step."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli.github import annotation
from reconciler.errors import Problem
from tests.parts.images import image, write_layout
from tests.world import InProcess, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A step of a workflow, with a folder store fed from an image layout."""
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    world.environ = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(tmp_path),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    }
    write_layout(tmp_path / "images", {"1.0": image({"a": "1"})})
    world.mirrors({"source": "oci:./images", "target": "app", "tags": [{"glob": "*"}]})
    return world


def summary(world: World) -> str:
    return (world.folder / "summary.md").read_text()


@given(st.text(), st.text(), st.text())
def test_an_annotation_is_one_command_whatever_is_in_it(file: str, where: str, message: str) -> None:
    text = annotation(Problem(file.replace("\0", ""), 3, 5, where, message), "")
    properties, _, _ = text.removeprefix("::error ").partition("::")
    assert text.startswith("::error ")
    assert len(text.splitlines()) <= 1 or not set("\r\n") & set(text)
    assert not set("\r\n") & set(text)
    assert properties.split(",")[-2:] == ["line=3", "col=5"]
    assert len(properties.split(",")) in (2, 3)


def test_a_file_is_named_from_the_root_of_the_repository(tmp_path: Path) -> None:
    problem = Problem(str(tmp_path / "a,b" / "m:x.yaml"), 3, 5, "store", "100% wrong\nreally")
    assert (
        annotation(problem, str(tmp_path)) == "::error file=a%2Cb/m%3Ax.yaml,line=3,col=5::store: 100%25 wrong really"
    )
    assert annotation(Problem("stdin", 1, 2, "", "no"), "") == "::error line=1,col=2::no"


@pytest.mark.parametrize("command", ["validate", "plan", "doctor"])
def test_problems_of_a_file_are_annotated(command: str, world: World) -> None:
    (world.folder / "mirrors.yaml").write_text("version: 1\nstore: {type: file, path: ./m}\nmirrors: no\n")
    assert "\n::error file=mirrors.yaml,line=3,col=10::mirrors: " in "\n" + world.run(command, code=1).stderr
    world.environ = {}
    assert "::error" not in world.run(command, code=1).stderr


def test_json_on_either_stream_stays_json(world: World) -> None:
    (world.folder / "mirrors.yaml").write_text("version: 2\n")
    done = world.run("validate", "--format", "json", "--log-format", "json", code=1)
    assert "::error" not in done.stdout + done.stderr


def test_results_are_in_the_summary_of_the_step(world: World) -> None:
    world.run("plan", "--out", "plan.json")
    assert "**Plan: 1 to add, 0 to update, 0 to prune; 0 unchanged.**" in summary(world)
    world.run("apply", "--yes", "--format", "json")
    assert "| `+` | `app:1.0` | added sha256:" in summary(world)
    world.run("verify")
    assert "**1 tag in 1 repository: all as the mirror index says.**" in summary(world)
    next((world.folder / "mirror").glob("v2/app/blobs/*")).write_bytes(b"")
    world.run("verify", code=1)
    assert "| :x: | v2/app/blobs/sha256" in summary(world)
    world.run("review", "mirrors.yaml", "mirrors.yaml", "--plan", "plan.json")
    assert "<!-- r2mirror -->" in summary(world)
    world.run("doctor")
    assert re.search(r"<summary>\d checks passed</summary>", summary(world))


def test_a_failure_is_in_the_summary_first(world: World) -> None:
    blob = max((world.folder / "images/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.write_bytes(b"other")
    world.run("apply", "--yes", code=1)
    text = summary(world)
    assert "1 failed" in text
    assert "| `!` | `app:1.0` | failed: " in text


def test_a_summary_that_cannot_be_written_stops_nothing(world: World) -> None:
    world.environ = {**world.environ, "GITHUB_STEP_SUMMARY": str(world.folder)}
    assert "the summary cannot be written: Is a directory" in world.run("plan").stderr
