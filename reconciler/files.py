"""Opens files that others may have created: only regular ones, and not a pipe or a device that blocks. Locks them."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from pathlib import Path
from typing import BinaryIO

_FIRST_PAUSE = 0.0005
_MAX_PAUSE = 0.02
"""Seconds between two attempts to take a lock; each is twice as long as the one before."""


def open_regular(path: Path, *, follow: bool) -> BinaryIO:
    """Opens a regular file for reading.

    follow  whether `path` may be a symbolic link; its folders always may

    Raises `OSError`: ELOOP for a link that is not followed, EISDIR for a folder, ENXIO for anything else that is not a
    regular file.
    """
    # O_NONBLOCK: without it, to open a pipe waits for a writer, forever if there is none. Checked after opening, for
    # between a check of the path and its opening another file could take its place.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
    try:
        check_regular(descriptor)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def check_regular(descriptor: int) -> None:
    """Raises `OSError` unless an open file is a regular one."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.ENXIO, "it is a pipe, a socket or a device, not a file")


def lock_within(descriptor: int, patience: float) -> bool:
    """Locks an open file or folder, within `patience` seconds. Returns whether it did."""
    # Not one flock() that blocks: it has no timeout, and another process that is stopped would hold it for ever.
    deadline = time.monotonic() + patience
    pause = _FIRST_PAUSE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(pause)
            pause = min(2 * pause, _MAX_PAUSE)
        else:
            return True
