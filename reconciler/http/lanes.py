"""The connections of one registry, as lanes: a request takes one until its answer is closed, the last one used first.

httpcore's pool looks at each of its connections for each request, under one lock for all threads: much of what a small
request takes. A lane is a transport of its own, which has a connection to the registry and one to wherever that
redirects. There is no client of httpx above it, whose cookies, hooks and redirects no registry needs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping

import httpx


class Lanes:
    """At most `count` requests at once, each on a transport that `make` made. Shared by all threads.

    Who finds none free waits `patience` seconds for one. `timeout` is for each request that has none of its own.
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
        content: str | None,
        timeout: httpx.Timeout | None = None,
    ) -> httpx.Response:
        """The answer to a request, its body unread; it follows no redirect. To be closed. Raises as httpx does."""
        extensions = {"timeout": timeout.as_dict()} if timeout else self._extensions
        request = httpx.Request(method, url, headers=headers, content=content, extensions=extensions)
        if not self._free.acquire(timeout=self._patience):
            raise httpx.PoolTimeout("no connection of ours became free")
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
        try:
            return self._spare.pop()
        except IndexError:
            transport = self._make()
            self._made.append(transport)
            return transport


class _Lent(httpx.SyncByteStream):
    """A body whose end gives its lane back, once."""

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
