"""Completion: in real shells, of names from mirrors.yaml and of tags from an index on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.cli.completion import script, without_start, words_of
from tests.parts.images import image, write_layout
from tests.world import InProcess, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A folder store with two tags of one of its two repositories."""
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    write_layout(tmp_path / "images", {"1.0": image({"a": "1"}), "1.1": image({"a": "2"})})
    world.mirrors(
        {"source": "oci:./images", "target": "library/app", "tags": [{"glob": "*"}]},
        {"source": "docker.io/library/tool", "target": "library/tool", "tags": ["1"]},
    )
    return world


def shell(world: World, *call: str) -> list[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        call,
        cwd=world.folder,
        env={**world.environment, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def in_bash(world: World, *lines: str) -> list[list[str]]:
    """What bash would put in place of the word at the cursor, for each line."""
    tries = "".join(
        f"COMP_LINE='{line}' COMP_POINT={len(line)}; _r2mirror_completion r2mirror; echo \"${{COMPREPLY[*]}}\"\n"
        for line in lines
    )
    printed = shell(world, "bash", "--norc", "-c", f'eval "$(r2mirror completion bash)"\n{tries}')
    return [one.split() for one in printed]


@pytest.mark.slow
def test_bash_completes_commands_targets_and_tags(world: World) -> None:
    world.run("apply", "--yes", "--only", "library/app")
    assert in_bash(
        world,
        "r2mirror -q pla",
        "r2mirror plan --only l",
        "r2mirror release library/app:1.",
    ) == [["plan"], ["library/app", "library/tool"], ["1.0", "1.1"]]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("fish"), reason="needs fish")
def test_fish_completes_tags(world: World) -> None:
    world.run("apply", "--yes", "--only", "library/app")
    said = "r2mirror completion fish | source; complete -C 'r2mirror restore library/a'"
    printed = [line.split("\t")[0] for line in shell(world, "fish", "--no-config", "-c", said)]
    assert printed == ["library/app:1.0", "library/app:1.1"]


@pytest.mark.skipif(not shutil.which("zsh"), reason="needs zsh")
def test_zsh_completes_commands(world: World) -> None:
    said = (
        'compdef() { : }; _arguments() { print -rl -- "$@" }; eval "$(r2mirror completion zsh)"; '
        "words=(r2mirror pla); CURRENT=2; _r2mirror_completion"
    )
    printed = "".join(shell(world, "zsh", "-f", "-c", said))
    assert printed.startswith("*: :((")
    assert "plan" in printed
    assert "apply mirrors" not in printed


@pytest.mark.parametrize(
    ("value", "typed", "breaks", "expected"),
    [
        ("library/app:1.0", "library/app:1", " :=", "1.0"),
        ("library/app:1.0", "library/app:1", " =", "library/app:1.0"),
        ("library/app:1.0", "library/a", " :=", "library/app:1.0"),
        ("a:1", "--now=a:", ":=", "1"),
        ("--format", "--f", ":=", "--format"),
    ],
)
def test_bash_replaces_only_what_follows_a_colon(value: str, typed: str, breaks: str, expected: str) -> None:
    assert without_start(value, typed, breaks) == expected


def test_the_line_ends_at_the_cursor() -> None:
    assert words_of({"COMP_LINE": "r2mirror plan --only a b", "COMP_POINT": "22"}) == (["plan", "--only"], "a")
    assert words_of({"COMP_LINE": "r2mirror plan ", "COMP_POINT": "14"}) == (["plan"], "")
    assert words_of({"COMP_LINE": "r2mirror release a:1", "COMP_POINT": "20"}) == (["release"], "a:1")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_printed_for_each_shell(shell: str, world: World) -> None:
    printed = world.run("completion", shell).stdout
    assert printed == script(shell)
    assert "_R2MIRROR_COMPLETE=complete_" in printed


def test_a_file_that_is_not_valid_offers_nothing_and_says_nothing(world: World) -> None:
    (world.folder / "mirrors.yaml").write_text("version: 2\n")
    line = {"COMP_LINE": "r2mirror plan --only ", "COMP_POINT": "21", "_R2MIRROR_COMPLETE": "complete_bash"}
    done = subprocess.run(
        world.command(), cwd=world.folder, env={**world.environment, **line}, capture_output=True, text=True, check=True
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")
