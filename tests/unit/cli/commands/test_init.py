"""`r2mirror init`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.world import InProcess


@pytest.fixture
def world(tmp_path: Path) -> InProcess:
    return InProcess(tmp_path, {"type": "file", "path": "./mirror"})


def test_it_writes_what_validate_accepts_and_names_the_next_command(world: InProcess, tmp_path: Path) -> None:
    done = world.run("init", "--store", "file:./mirror", "--image", "alpine:3.20")
    assert (done.returncode, done.stdout) == (0, "Next: r2mirror plan\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".pre-commit-config.yaml", "mirrors.yaml"]
    assert world.run("validate").returncode == 0


def test_nothing_is_overwritten(world: InProcess, tmp_path: Path) -> None:
    (tmp_path / ".pre-commit-config.yaml").write_text("mine")
    done = world.run("init", "--store", "file:./mirror", "--image", "alpine:3.20", code=1)
    assert done.returncode == 1
    assert ".pre-commit-config.yaml exists already" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [".pre-commit-config.yaml"]


def test_a_store_that_does_not_answer_is_a_warning(world: InProcess) -> None:
    store = "r2:${NO_SUCH_ACCOUNT}/cr-example"
    done = world.run("init", "--store", store, "--image", "alpine:3.20")
    assert "NO_SUCH_ACCOUNT" in done.stderr
    assert done.stdout == "Next: r2mirror doctor, which says what the store lacks\n"


def test_without_a_terminal_everything_has_to_be_given(world: InProcess, tmp_path: Path) -> None:
    done = world.run("init", "--store", "file:./mirror", code=1)
    assert "--image is missing, and there is no terminal to ask on" in done.stderr
    assert list(tmp_path.iterdir()) == []
