"""Plan files: what `plan --out` replaces and prints, and how apply refuses a file that is not a plan."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from tests.parts.images import image, write_layout
from tests.parts.terminal import on_a_terminal
from tests.world import InProcess, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    write_layout(tmp_path / "images", {"1.0": image({"a": "1"}), "2.0": image({"a": "2"})})
    world.mirrors({"source": "oci:./images", "target": "app", "tags": [{"glob": "*"}]})
    return world


@pytest.mark.parametrize("content", ["version: 1\n", '{"version": 1, "mirrors": []}', "[1]", "\x00", "["])
def test_a_file_that_is_not_a_plan_stays(content: str, world: World) -> None:
    (world.folder / "notes").write_text(content)
    done = world.run("plan", "--out", "notes", code=1)
    assert "notes: there is a file of this name that is not a plan" in done.stderr
    assert done.stdout == ""
    assert (world.folder / "notes").read_text() == content


def test_the_mirrors_file_stays(world: World) -> None:
    before = (world.folder / "mirrors.yaml").read_bytes()
    world.run("plan", "--out", "mirrors.yaml", code=1)
    assert (world.folder / "mirrors.yaml").read_bytes() == before


def test_a_plan_replaces_a_plan_and_an_empty_file_and_it_is_said(world: World) -> None:
    (world.folder / "plan.json").touch()
    for _ in range(2):
        said = world.run("plan", "--out", "plan.json").stderr
        assert said == (
            "saved plan.json: Plan: 2 to add, 0 to update, 0 to prune; 0 unchanged. "
            "`r2mirror apply plan.json` does exactly this\n"
        )
    left = {path.name for path in world.folder.iterdir()} - {".cache"}
    assert left == {"images", "mirrors.yaml", "plan.json"}
    world.run("apply", "plan.json", "--yes")


def test_a_link_to_a_plan_stays_a_link(world: World) -> None:
    (world.folder / "latest").symlink_to("plan.json")
    world.run("plan", "--out", "latest")
    assert (world.folder / "latest").is_symlink()
    assert json.loads((world.folder / "plan.json").read_text())["summary"]["add"] == 2


def test_a_plan_may_go_into_a_pipe(world: World) -> None:
    os.mkfifo(world.folder / "pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((world.folder / "pipe").read_text()))
    reader.start()
    world.run("plan", "--out", "pipe")
    reader.join(timeout=60)
    assert json.loads(read[0])["summary"]["add"] == 2


def test_apply_of_a_mirrors_file_asks_whether_the_option_was_meant(world: World) -> None:
    said = world.run("apply", "mirrors.yaml", "--yes", code=1).stderr
    assert "did you mean -f mirrors.yaml?" in said
    assert "--out mirrors.yaml" not in said


def test_validate_takes_its_file_as_its_siblings_do(world: World) -> None:
    (world.folder / "mirrors.yaml").rename(world.folder / "other.yaml")
    assert world.run("validate", "-f", "other.yaml").stdout == "other.yaml: valid, 1 mirror\n"
    assert world.run("validate", "other.yaml", "--file", "other.yaml").stdout.count("valid") == 1, "it is one file"


def garbage(world: World) -> Path:
    world.defaults = {"retain": "0s"}
    world.mirrors({"source": "oci:./images", "target": "app", "tags": ["1.0"]})
    world.run("apply", "--yes")
    blob = world.folder / "mirror/v2/app/blobs" / f"sha256:{'0' * 64}"
    blob.write_bytes(b"left")
    return blob


@pytest.mark.slow
def test_gc_asks_on_a_terminal(world: World) -> None:
    blob = garbage(world)
    code, screen = on_a_terminal(world, "n\n", "gc")
    assert (code, blob.exists()) == (1, True)
    assert "Would remove 1 object" in screen
    assert "Remove it?" in screen
    code, screen = on_a_terminal(world, "y\n", "gc")
    assert (code, blob.exists()) == (0, False)
    code, screen = on_a_terminal(world, "", "gc")
    assert code == 0, "there is nothing to ask about"
    blob = garbage(world)
    code, screen = on_a_terminal(world, "", "gc", "--yes")
    assert (code, blob.exists(), "Remove it?" in screen) == (0, False, False)
    garbage(world)
    world.run("gc")
    assert not blob.exists()


@pytest.mark.slow
def test_a_lock_whose_process_has_ended_is_said_to_be_dead(world: World) -> None:
    environment = {**world.environment, "PYTHONPATH": str(Path(__file__).parents[3])}
    script = (
        "import os, signal, sys; from reconciler.apply import run; from reconciler.cli import main\n"
        "run.Run.events = lambda self: os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.argv = ['r2mirror', 'apply', '--yes']\n"
        "main.main()\n"
    )
    dead = subprocess.run(
        [world.command()[0], "-c", script], cwd=world.folder, env=environment, capture_output=True, check=False
    )
    assert dead.returncode == -signal.SIGKILL
    said = world.run("apply", "--yes", code=1).stderr
    assert "that process has ended. Break it with `r2mirror unlock`" in said
    assert "at work" not in said
    asked = world.run("unlock", code=1).stderr
    assert "has ended and left behind the lock" in asked
    world.run("unlock", "--yes")
    world.run("apply", "--yes")


@pytest.mark.parametrize(
    "change",
    [
        {"owner": "elsewhere:999999:x"},
        {"space": "another container"},
        {"owner": f"{os.uname().nodename}:{os.getpid()}:x"},
        {"owner": f"{os.uname().nodename}:nonsense:x"},
        {"owner": f"{os.uname().nodename}:99999999999999999999:x"},
        {"owner": f"{os.uname().nodename}:0:x"},
    ],
)
def test_of_a_process_that_cannot_be_seen_nothing_is_said(change: dict[str, str], world: World) -> None:
    lock = world.folder / "mirror" / "_mirror" / "lock.json"
    lock.parent.mkdir(parents=True)
    times = {"since": "2026-11-20T00:00:00Z", "renewed": "2026-11-20T00:00:00Z", "until": "2026-11-20T00:02:00Z"}
    owner = {"owner": f"{os.uname().nodename}:{2**22 + 1}:x", "command": "r2mirror apply"}
    lock.write_text(json.dumps({**owner, **times}))
    assert "that process has ended" in world.run("apply", "--yes", code=1).stderr
    lock.write_text(json.dumps({**owner, **times, **change}))
    said = world.run("apply", "--yes", code=1).stderr
    assert "another run is at work" in said
    assert "has ended." not in said
