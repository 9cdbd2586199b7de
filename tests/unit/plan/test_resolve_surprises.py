"""Warnings in a plan of patterns that take something far above most other versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.parts.images import app, write_layout
from tests.world import InProcess


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"regex": "[0-9.]+", "newest": 2}, ['regex "[0-9.]+", newest 2 takes 20210101, far above 1.3']),
        ({"semver": "*", "newest": 2}, []),
        ({"regex": "1[0-9.]+", "newest": 2}, []),
    ],
)
def test_a_date_among_the_newest(tmp_path: Path, entry: Any, words: list[str]) -> None:
    write_layout(tmp_path / "layout", {tag: app("1", "linux/amd64") for tag in ("1.1", "1.2", "1.3", "20210101")})
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    world.mirrors({"source": "oci:layout", "target": "app", "tags": [entry]})
    warnings = world.plan().get("warnings", []) + world.plan()["repositories"][0].get("warnings", [])
    assert len(warnings) == len(words)
    assert all(expected in warning for expected, warning in zip(words, warnings, strict=True))
    assert len(world.plan()["repositories"][0]["changes"]) == 2
