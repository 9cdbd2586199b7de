"""Sends a blob to a client: with one chunk in memory, and no thread while the client is slow. Always closes it."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from reconciler.errors import StoreError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

logger = logging.getLogger(__name__)

PIECE = 64 * 1024
"""Bytes per send; the connection's own buffer holds as many again."""


class Stream(StreamingResponse):
    """Sends `size` bytes: `first`, then `chunks`. A chunk is fetched on a thread once the previous one was received.

    `chunks` is closed in any case. If the store fails or has fewer bytes, the connection ends early, which the client
    detects by the Content-Length.
    """

    def __init__(
        self,
        first: bytes,
        chunks: Generator[bytes, None, None],
        size: int,
        what: str,
        status: int,
        headers: dict[str, str],
    ) -> None:
        super().__init__(chunks, status, headers)
        self._first, self._chunks, self._left, self._what = first, chunks, size, what

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Otherwise the store's connection would stay open until the generator is collected.
            self._chunks.close()

    async def stream_response(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        chunk: bytes | None = self._first
        try:
            while self._left and chunk and len(chunk) <= self._left:
                self._left -= len(chunk)
                for start in range(0, len(chunk), PIECE):
                    # A slice of bytes would be a copy.
                    piece = memoryview(chunk)[start : start + PIECE]
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                chunk = await run_in_threadpool(next, self._chunks, None)
        except StoreError as error:
            # Without the final message uvicorn closes the connection, which is all that HTTP offers at this point.
            logger.warning("a response was cut off: %s", error)
            return
        if self._left or chunk:
            logger.warning(
                "a response was cut off: %s: the store sent fewer or more bytes than it had announced", self._what
            )
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
