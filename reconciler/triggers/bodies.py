"""Reads the bodies of triggers: with a limit of their size, of their time, and of how many are read at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable

from reconciler.triggers.payload import MAX_BODY

MAX_BODIES = 16
"""Bodies that are read at once, which limits what they take of memory."""

TIMEOUT = 10.0
"""Seconds within which a body has to arrive."""


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, why: str, **headers: str) -> None:
        super().__init__(status, why)
        self.status, self.why, self.headers = status, why, headers


class Bodies:
    """Reads bodies. Used by one thread: the event loop's."""

    def __init__(self) -> None:
        self._under_way = 0

    async def read(self, chunks: AsyncIterable[bytes]) -> bytes:
        """Reads a whole body. Raises `Refused`."""
        if self._under_way >= MAX_BODIES:
            raise Refused(503, "too many bodies at once; try again later", **{"Retry-After": "1"})
        self._under_way += 1
        try:
            async with asyncio.timeout(TIMEOUT):
                return await _bounded(chunks)
        except TimeoutError:
            raise Refused(408, f"the body did not arrive within {TIMEOUT:.0f} s", Connection="close") from None
        finally:
            self._under_way -= 1


async def _bounded(chunks: AsyncIterable[bytes]) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > MAX_BODY:
            raise Refused(413, f"the body has more than {MAX_BODY} bytes", Connection="close")
    return bytes(body)
