"""A listening socket that survives running out of file descriptors, and how many connections those allow."""

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
"""Descriptors kept for the store, the event loop and Python's own files; at most a quarter of the limit."""

LOG_EVERY = 60.0
"""Seconds between two log lines about the same shortage."""

PAUSE = 0.05
"""Seconds to wait when a client cannot even be turned away."""

_LACKS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Listener(socket.socket):
    """Turns clients away when descriptors run out, by means of a spare one.

    asyncio would log every failed `accept` with a traceback, about a thousand times a second, and keep the clients
    waiting in the backlog.
    """

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(fileno=listening.detach())
        self._spare = _spare()
        self._logged_at = -LOG_EVERY

    def accept(self) -> tuple[socket.socket, Any]:
        """Accepts a connection. Raises `BlockingIOError` if there is none, or if it was turned away."""
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in _LACKS:
                raise
            self._log(error)
            self._turn_away()
        raise BlockingIOError(errno.EAGAIN, "turned away")

    def close(self) -> None:
        super().close()
        self._release_spare()

    def _turn_away(self) -> None:
        # Accepting and closing tells the client at once. Between the two lines another thread may take the descriptor.
        self._release_spare()
        try:
            super().accept()[0].close()
        except BlockingIOError:
            pass
        except OSError:
            time.sleep(PAUSE)
        self._spare = _spare()

    def _release_spare(self) -> None:
        if self._spare is not None:
            with suppress(OSError):
                os.close(self._spare)
            self._spare = None

    def _log(self, error: OSError) -> None:
        if time.monotonic() - self._logged_at >= LOG_EVERY:
            self._logged_at = time.monotonic()
            logger.warning("connections are turned away: %s; raise the limit (ulimit -n)", error.strerror)


def _spare() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def affordable(connections: int, room: int) -> tuple[int, int]:
    """Reduces the connections, and the room beside them, to what file descriptors allow: a download uses two.

    First raises the process's own limit, as far as the system permits.
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
    # Three quarters for the connections, which use two descriptors each, and one quarter for the room.
    share = max(8, soft - min(RESERVE, soft // 4))
    return share * 3 // 8, share // 4
