"""Keeps the connections of one registry as lanes: a request occupies a lane until its answer is closed.

Why not httpx's client over httpcore's pool: for each request, that pool looks at each of its connections, under one
lock for all threads, which takes much of the time of a small request. A lane is a transport of its own, with one
connection to the registry and one to the host that it redirects to. A client's cookies, hooks and redirects are not
needed either.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

import httpx

Content: TypeAlias = str | bytes | Iterable[bytes] | None
"""The body of a request. One that is read as it is sent needs its Content-Length among the headers."""


class Lanes:
    """Sends at most `count` requests at once. Shared by all threads.

    make      opens the transport of a lane
    patience  the seconds for which a request waits until a lane is free
    timeout   of requests that have none of their own
    """

    def __init__(
        self, make: Callable[[], httpx.BaseTransport], count: int, patience: float, timeout: httpx.Timeout
    ) -> None:
        self._make = make
        self._patience = patience
        self._extensions = {"timeout": timeout.as_dict()}
        self._free = threading.BoundedSemaphore(count)
        self._spare: list[httpx.BaseTransport] = []
        self._made: list[httpx.BaseTransport] = []

    def close(self) -> None:
        for transport in self._made:
            transport.close()

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: Content,
        timeout: httpx.Timeout | None = None,
    ) -> httpx.Response:
        """Sends a request and returns the answer, its body unread; redirects are not followed. To be closed.

        Raises as httpx does.
        """
        extensions = {"timeout": timeout.as_dict()} if timeout else self._extensions
        request = httpx.Request(method, url, headers=headers, content=content, extensions=extensions)
        if not self._free.acquire(timeout=self._patience):
            raise httpx.PoolTimeout("none of our own connections became free")
        try:
            transport = self._taken()
        except BaseException:
            self._free.release()
            raise

        def give_back() -> None:
            self._spare.append(transport)
            self._free.release()

        try:
            response = transport.handle_request(request)
        except BaseException:
            give_back()
            raise
        response.stream = _Lent(response.stream, give_back)
        return response

    def _taken(self) -> httpx.BaseTransport:
        # The lane that was used last, because its connection is the least likely to have been closed by the server.
        # `pop` is atomic: to test the list first would race with other threads.
        try:
            return self._spare.pop()
        except IndexError:
            transport = self._make()
            self._made.append(transport)
            return transport


class _Lent(httpx.SyncByteStream):
    """A body that returns its lane when it is closed; once, for a lane returned twice would serve two requests."""

    def __init__(self, stream: httpx.SyncByteStream | httpx.AsyncByteStream, give_back: Callable[[], None]) -> None:
        assert isinstance(stream, httpx.SyncByteStream)
        self._stream = stream
        self._give_back: Callable[[], None] | None = give_back

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        give_back, self._give_back = self._give_back, None
        try:
            self._stream.close()
        finally:
            if give_back:
                give_back()
