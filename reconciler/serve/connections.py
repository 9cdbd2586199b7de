"""A client's connection, which is closed if the client sends no request or does not read the response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport

REQUEST_TIMEOUT = 15.0
"""Seconds from connecting, or from the previous response, until a whole request has arrived."""

READ_TIMEOUT = 300.0
"""Seconds within which a client has to read some of the response.

Clients that unpack as they download pause for a while. The kernel also buffers megabytes, so a slow client shows no
progress for some time: this allows for about 4 KiB/s.
"""


class Connection(H11Protocol):
    """uvicorn's connection, with timeouts where uvicorn would wait forever.

    Those are the first request, a header that arrives byte by byte, and a client that stops reading. At the limit of
    connections, the one that has been idle for the longest is closed to make room for a new one.
    """

    _request_timer: TimerHandle | None = None
    _read_timer: TimerHandle | None = None
    _idle_since = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether no response is in progress: `cycle` is that of the last request, None before the first."""
        return self.cycle is None or self.cycle.response_complete  # type: ignore[redundant-expr]

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_request()
        if self.limit_concurrency and len(self.connections) >= self.limit_concurrency:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Busy means that the headers are complete; half a header must not stop the timer.
        if not self.is_idle:
            _cancel(self._request_timer)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # With a pipelined request, uvicorn has started the next cycle already.
        if self.is_idle:
            self._wait_for_request()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_until_read()

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self._read_timer)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        _cancel(self._request_timer)
        _cancel(self._read_timer)

    def _make_room(self) -> None:
        """Closes the connection that has been idle for the longest; this one, the newest, if all others are busy."""
        idle = [one for one in self.connections if isinstance(one, Connection) and one.is_idle]
        oldest = min(idle, key=lambda one: one._idle_since)
        self.connections.discard(oldest)
        oldest.transport.abort()

    def _wait_for_request(self) -> None:
        _cancel(self._request_timer)
        self._idle_since = self.loop.time()
        self._request_timer = self.loop.call_later(REQUEST_TIMEOUT, self._close)

    def _close(self) -> None:
        """Closes the connection once the client has read the end of the last response."""
        self.transport.close()
        self._wait_until_read()

    def _wait_until_read(self) -> None:
        _cancel(self._read_timer)
        self._read_timer = self.loop.call_later(
            READ_TIMEOUT, self._abort_unless_read, self.transport.get_write_buffer_size()
        )

    def _abort_unless_read(self, before: int) -> None:
        if self.transport.get_write_buffer_size() < before:
            self._wait_until_read()
        else:
            self.transport.abort()


def _cancel(timer: TimerHandle | None) -> None:
    if timer:
        timer.cancel()
