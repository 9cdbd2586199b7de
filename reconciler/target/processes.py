"""Tells whether the process that a lock names has ended, if it ran where this process could see it."""

from __future__ import annotations

import hashlib
import os
import socket
from contextlib import suppress
from pathlib import Path


def space() -> str:
    """Names the space in which process numbers mean what they mean here: this boot of this machine, this container.

    The host name does not: containers and cloned machines share it. Empty if the system does not tell.
    """
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        name = f"{boot} {Path('/proc/self/ns/pid').readlink()}"
        return hashlib.sha256(name.encode()).hexdigest()[:16]
    return ""


def has_ended(host: str, process: str, where: object) -> bool:
    """Whether the process of this number is known to have ended. `where`: the `space` that it named; None: none."""
    if host != socket.gethostname() or where not in (None, space()):
        return False
    # At most nine digits, because os.kill() raises OverflowError for a number that no process can have.
    if not process.isascii() or not process.isdigit() or not 0 < len(process) < 10:
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
