"""The connections of one registry, as lanes: a request takes one until its answer is closed, the last one used first.

httpx's own pool looks at each of its connections for each request, under one lock for all threads, and its client reads
cookies out of each answer: together a third of what a small request takes. A lane is a client of its own, which has a
connection to the registry and one to wherever that redirects; one for plain HTTP is never used for another scheme.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


class Lanes:
    """At most `count` requests at once, each on a client that `make` made for its scheme. Shared by all threads.

    Who finds none free waits `patience` seconds for one.
    """

    def __init__(self, make: Callable[[str], httpx.Client], count: int, patience: float) -> None:
        self._make = make
        self._patience = patience
        self._free = threading.BoundedSemaphore(count)
        self._spare: dict[str, list[httpx.Client]] = {}
        self._made: list[httpx.Client] = []

    def close(self) -> None:
        for client in self._made:
            client.close()

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: str | None,
        timeout: httpx.Timeout | None = None,
    ) -> httpx.Response:
        """The answer to a request, its body unread; it follows no redirect. To be closed. Raises as httpx does.

        `timeout`: another one than the clients were made with.
        """
        extensions = {"timeout": timeout.as_dict()} if timeout else None
        if not self._free.acquire(timeout=self._patience):
            raise httpx.PoolTimeout("no connection of ours became free")
        try:
            client, spare = self._taken(url.partition(":")[0].lower())
        except BaseException:
            self._free.release()
            raise

        def give_back() -> None:
            spare.append(client)
            self._free.release()

        try:
            # Not built by the client, which would merge what it has none of into each: parameters, cookies, a base URL.
            request = httpx.Request(method, url, headers=headers, content=content, extensions=extensions)
            response = client.send(request, stream=True, auth=None, follow_redirects=False)
        except BaseException:
            give_back()
            raise
        response.stream = _Lent(response.stream, give_back)
        return response

    def _taken(self, scheme: str) -> tuple[httpx.Client, list[httpx.Client]]:
        """A client, and where it goes when it is free again."""
        spare = self._spare.setdefault(scheme, [])
        try:
            return spare.pop(), spare
        except IndexError:
            client = self._make(scheme)
            client._cookies = _NoCookies()
            self._made.append(client)
            return client, spare


class _NoCookies(httpx.Cookies):
    """No registry needs any, and none follows us from one repository to another. httpx has no public way to say so."""

    def extract_cookies(self, response: httpx.Response) -> None:
        pass


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
