"""Opens files that others may have put in place: regular ones only, and without waiting for what else is there."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path, *, follow: bool) -> BinaryIO:
    """Opens a file to read. To open a pipe would wait for its other end, for ever where there is none.

    follow  whether `path` may be a symbolic link; its folders may be in any case

    Raises `OSError`: ELOOP for a link that is not followed, EISDIR for a folder, ENXIO for anything else that is not a
    regular file.
    """
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
        raise OSError(errno.ENXIO, "it is a pipe, a socket or a device, and not a file")
