"""Frames of deep calls stay in one piece of memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

from reconciler.cli.python_stack import called_with_room


def test_what_is_called_returns_and_raises_as_ever() -> None:
    assert called_with_room(lambda: 3) == 3
    with pytest.raises(ValueError, match="invalid literal"):
        called_with_room(lambda: int("a"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts page faults as Linux does")
def test_calls_of_any_depth_map_no_memory_again_and_again() -> None:
    """A chunk that is mapped anew is a page fault for each call, at the depths where one ends."""
    code = (
        "import resource\n"
        "from reconciler.cli.python_stack import called_with_room\n"
        "def down(depth): return depth and down(depth - 1)\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    for depth in range(300):\n"
        "        for _ in range(20): down(depth)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "faults(), print(faults(), called_with_room(lambda: faults() and faults()))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    without, within = map(int, found.split())
    assert within <= max(20, without // 10), found
