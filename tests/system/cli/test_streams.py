"""A process whose streams are full, closed or terminals of some kind, and signals while it starts."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts.images import image, write_layout
from tests.parts.terminal import on_a_terminal
from tests.world import World

PACKAGE = Path(__file__).parents[3] / "reconciler"


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path, {"type": "file", "path": "./mirror"})
    write_layout(tmp_path / "images", {"1.0": image({"a": "1"}), "2.0": image({"a": "2"})})
    world.mirrors({"source": "oci:./images", "target": "app", "tags": [{"glob": "*"}]})
    return world


CALLS = (("--version",), ("--help",), ("validate",), ("plan",), ("plan", "--format", "json"), ("apply", "--yes"))


def shell(world: World, arguments: tuple[str, ...], redirection: str) -> subprocess.CompletedProcess[str]:
    call = f'"$@" {redirection}'
    command = ["sh", "-c", call, "sh", *world.command(*arguments)]
    return subprocess.run(
        command, cwd=world.folder, env=world.environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("arguments", [*CALLS, ("nonsense",), ("plan", "-f", "missing.yaml")])
def test_streams_that_are_full_or_closed_cost_no_more_than_their_words(
    arguments: tuple[str, ...], world: World
) -> None:
    usual = shell(world, arguments, "")
    for redirection in (">/dev/full", ">&-", "2>/dev/full", "2>&-", "<&-", ">&- 2>&- <&-"):
        done = shell(world, arguments, redirection)
        said = done.stdout + done.stderr
        assert "Traceback" not in said, redirection
        assert "Exception ignored" not in said, redirection
        if redirection == ">/dev/full" and usual.stdout:
            assert done.returncode == 1
            assert "No space left on device" in done.stderr
            assert len(done.stderr.splitlines()) <= len(usual.stderr.splitlines()) + 1
        else:
            assert done.returncode == usual.returncode, redirection


def test_an_apply_that_cannot_print_is_done_all_the_same(world: World) -> None:
    shell(world, ("apply", "--yes"), ">&- 2>/dev/full")
    assert world.plan()["summary"]["unchanged"] == 2


def test_letters_that_the_terminal_does_not_have_are_question_marks(world: World) -> None:
    world.environ = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    (world.folder / "mirrors.yaml").write_text('version: 1\nstore: {type: file, path: "./é", "日": 1}\nmirrors: []\n')
    assert "?" in world.run("validate", code=1).stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("module", ["typer", "reconciler.cli.group", "reconciler.cli.commands.validate"])
def test_an_interruption_while_it_starts_is_one_word(number: signal.Signals, module: str, world: World) -> None:
    """The signal comes exactly when `module` is about to be imported."""
    script = f"""
import os, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), {int(number)})
sys.meta_path.insert(0, Interrupting())
sys.argv = ["r2mirror", "validate"]
from reconciler.cli.main import main
main()
"""
    environment = {**world.environment, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=world.folder, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_a_signal_that_is_to_be_ignored_stays_so(world: World) -> None:
    script = "import os, signal; os.kill(os.getpid(), signal.SIGHUP); from reconciler.cli.main import main; main()"
    call = f"trap '' HUP; exec {sys.executable} -c '{script}' validate"
    environment = {**world.environment, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(
        ["sh", "-c", call], cwd=world.folder, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "mirrors.yaml: valid, 1 mirror\n")


def test_a_dumb_terminal_gets_plain_lines(world: World) -> None:
    world.environ = {"TERM": "dumb", "FORCE_COLOR": "", "NO_COLOR": ""}
    code, screen = on_a_terminal(world, "y\n", "apply")
    assert code == 0
    assert "\x1b" not in screen
    assert "Resolving tags ..." in screen.splitlines(), "on a line of its own"
    assert screen.count("app:1.0") == 1, "each tag is told once"
    assert "Applied: 2 added" in screen


def test_a_terminal_without_color_has_a_bar_without_color(world: World) -> None:
    world.environ = {"TERM": "xterm", "NO_COLOR": "1"}
    _, screen = on_a_terminal(world, "y\n", "apply")
    assert not re.search(r"\x1b\[[0-9;]*[1-9][0-9]*m", screen), "moves the cursor at most"
    # The bar may have named it too, while it was being copied.
    assert screen.count("+ app:1.0  added") == 1


def test_a_stdout_that_fills_up_stops_no_apply(world: World) -> None:
    done = shell(world, ("apply", "--yes"), ">/dev/full")
    assert (done.returncode, done.stderr) == (
        1,
        "error: stdout: the result cannot be written there: No space left on device\n",
    )
    assert world.plan()["summary"]["unchanged"] == 2
