"""A pseudo-terminal for a command, with an answer typed at it."""

from __future__ import annotations

import os
import pty
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.world import World


def on_a_terminal(world: World, answer: str, *arguments: str) -> tuple[int, str]:
    """Runs the command on a terminal of its own, types `answer`, and returns exit code and screen."""
    master, slave = pty.openpty()
    running = subprocess.Popen(
        world.command(*arguments), cwd=world.folder, env=world.environment, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    os.write(master, answer.encode())
    screen = b""
    while True:
        try:
            screen += os.read(master, 4096)
        except OSError:
            break
    os.close(master)
    return running.wait(timeout=60), screen.decode()
