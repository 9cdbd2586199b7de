"""The end of the process: everything is written, what is registered is done, and threads are waited for."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITH_THREAD = """
import threading
threading.Thread(target=lambda: (threading.Event().wait(0.2), print("from the thread"))).start()
"""
ENDED = """
import atexit, sys
from reconciler.cli.ending import end
atexit.register(lambda: print("registered"))
sys.stdout.write("a result ")
"""


@pytest.mark.parametrize(
    ("before", "code", "printed"),
    [
        ("", 0, "a result registered\n"),
        ("", 2, "a result registered\n"),
        (WITH_THREAD, 1, "a result from the thread\nregistered\n"),
        (WITH_THREAD, 130, "a result "),
    ],
)
def test_what_happens_at_the_end(before: str, code: int, printed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{before}{ENDED}end({code})"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, printed, "")
