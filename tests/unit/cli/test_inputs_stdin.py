"""A mirrors file on stdin: where its relative paths start, and what a saved plan makes of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.parts.images import image, write_layout
from tests.world import World

FILE = """\
version: 1
store: {type: file, path: ./mirror}
mirrors:
  - {source: "oci:./images", target: a, tags: ["1"]}
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    write_layout(tmp_path / "images", {"1": image({"v": "1"})})
    return World(tmp_path, {})


def piped(world: World, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        world.command(*arguments),
        cwd=world.folder,
        env=world.environment,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_saved_plan_knows_the_file_by_its_hash(world: World) -> None:
    planned = piped(world, FILE, "plan", "-f", "-", "--out", "plan.json")
    assert planned.returncode == 0, planned.stderr
    edited = piped(world, f"{FILE}# edited", "apply", "plan.json", "-f", "-", "--yes")
    assert edited.returncode == 1
    assert "plan.json: this plan was made from another mirrors file than the one on stdin; nothing" in edited.stderr
    applied = piped(world, FILE, "apply", "plan.json", "-f", "-", "--yes")
    assert applied.returncode == 0, applied.stderr
    assert (world.folder / "mirror/v2/a/manifests/1").is_file()
    assert "No changes" in piped(world, FILE, "plan", "--file", "-").stdout


@pytest.mark.slow
def test_an_apply_cannot_ask_as_well(world: World) -> None:
    done = piped(world, FILE, "apply", "-f", "-")
    assert done.returncode == 1
    assert "--yes" in done.stderr


@pytest.mark.slow
def test_problems_name_stdin(world: World) -> None:
    wrong = piped(world, f"{FILE}x: 1", "validate", "-")
    assert (wrong.returncode, wrong.stdout.partition(" ")[0]) == (1, "stdin:5:1:")
    assert piped(world, FILE, "validate", "-").stdout == "stdin: valid, 1 mirror\n"
    for empty in ("", "#"):
        assert "stdin:1:1: the file is empty" in piped(world, empty, "plan", "-f", "-").stderr
    assert "read only once" in piped(world, FILE, "validate", "-", "-").stderr


@pytest.mark.slow
def test_one_side_of_a_review(world: World) -> None:
    (world.folder / "mirrors.yaml").write_text(FILE)
    edited = FILE.replace('["1"]', '["2"]')
    assert "+ 2; - 1" in piped(world, edited, "diff", "mirrors.yaml", "-").stdout
    assert "+ 1; - 2" in piped(world, edited, "diff", "-", "mirrors.yaml").stdout
    both = piped(world, FILE, "diff", "-", "-")
    assert (both.returncode, "read only once" in both.stderr) == (1, True)
