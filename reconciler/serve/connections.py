"""A client's connection, closed if the client sends no request or does not read the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport

ASK_TIMEOUT = 15.0
"""Seconds from connecting, or from the previous answer, until a whole request has arrived."""

TAKE_TIMEOUT = 300.0
"""Seconds within which a client has to read some of the answer.

Clients that unpack as they download pause for a while. The kernel also buffers megabytes, so a slow client shows no
progress for some time: this allows for about 4 KiB/s.
"""


class Connection(H11Protocol):
    """uvicorn's connection, with timeouts where uvicorn would wait forever.

    Those are the first request, a header that arrives byte by byte, and a client that stops reading. At the limit of
    connections, the one that has been idle for the longest is closed to make room for a new one.
    """

    _ask: TimerHandle | None = None
    _take: TimerHandle | None = None
    _idle_since = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether no answer is in progress: `cycle` is that of the last request, None before the first."""
        return self.cycle is None or self.cycle.response_complete  # type: ignore[redundant-expr]

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_request()
        if self.limit_concurrency and len(self.connections) >= self.limit_concurrency:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.is_idle:
            _cancel(self._ask)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.is_idle:
            self._wait_for_request()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_until_taken()

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self._take)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        _cancel(self._ask)
        _cancel(self._take)

    def _make_room(self) -> None:
        """Closes the connection that has been idle for the longest; this one, the newest, if all others are busy."""
        idle = [one for one in self.connections if isinstance(one, Connection) and one.is_idle]
        oldest = min(idle, key=lambda one: one._idle_since)
        self.connections.discard(oldest)
        oldest.transport.abort()

    def _wait_for_request(self) -> None:
        _cancel(self._ask)
        self._idle_since = self.loop.time()
        self._ask = self.loop.call_later(ASK_TIMEOUT, self._close)

    def _close(self) -> None:
        """Closes the connection once the client has read the end of the last answer."""
        self.transport.close()
        self._wait_until_taken()

    def _wait_until_taken(self) -> None:
        _cancel(self._take)
        self._take = self.loop.call_later(TAKE_TIMEOUT, self._unless_taken, self.transport.get_write_buffer_size())

    def _unless_taken(self, before: int) -> None:
        if self.transport.get_write_buffer_size() < before:
            self._wait_until_taken()
        else:
            self.transport.abort()


def _cancel(timer: TimerHandle | None) -> None:
    if timer:
        timer.cancel()
