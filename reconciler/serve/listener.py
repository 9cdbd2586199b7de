"""A listening socket that outlives a lack of descriptors, and how many connections there are descriptors for."""

from __future__ import annotations

import errno
import logging
import os
import resource
import socket
import time
from contextlib import suppress
from typing import Any

logger = logging.getLogger(__name__)

RESERVE = 64
"""Descriptors for the store, the loop and Python's own files; at most a quarter of all that there are."""

SAY_EVERY = 60.0
"""Seconds between two lines of log about the same lack."""

PAUSE = 0.05
"""Seconds without a new connection where not even one can be turned away."""

_LACKS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Listener(socket.socket):
    """Turns a client away for which there is no descriptor, by means of one that is kept for it.

    asyncio would log each failed `accept` with a traceback, some thousand times a second, and forget nobody.
    """

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(fileno=listening.detach())
        self._spare = _spare()
        self._said = -SAY_EVERY

    def accept(self) -> tuple[socket.socket, Any]:
        """Raises `BlockingIOError` where nobody is there to be let in, now."""
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in _LACKS:
                raise
            self._say(error)
            self._turn_away()
        raise BlockingIOError(errno.EAGAIN, "turned away")

    def close(self) -> None:
        super().close()
        self._give_up_spare()

    def _turn_away(self) -> None:
        self._give_up_spare()
        try:
            super().accept()[0].close()
        except BlockingIOError:
            pass
        except OSError:
            time.sleep(PAUSE)
        self._spare = _spare()

    def _give_up_spare(self) -> None:
        if self._spare is not None:
            with suppress(OSError):
                os.close(self._spare)
            self._spare = None

    def _say(self, error: OSError) -> None:
        if time.monotonic() - self._said >= SAY_EVERY:
            self._said = time.monotonic()
            logger.warning("connections are turned away: %s; raise the limit (ulimit -n)", error.strerror)


def _spare() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def affordable(connections: int, room: int) -> tuple[int, int]:
    """As many connections, and as much room beside them, as there are descriptors for: two for each download.

    Raises the process's own limit to what they need, as far as the system lets it.
    """
    needed = 2 * connections + room + RESERVE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            soft = limit
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return connections, room
    share = max(8, soft - min(RESERVE, soft // 4))
    return share * 3 // 8, share // 4
