"""A blob on its way to a client: one chunk of memory, no thread while the client is slow, closed however it ends."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from reconciler.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Generator

    from starlette.types import Receive, Scope, Send

logger = logging.getLogger(__name__)

PIECE = 64 * 1024
"""Bytes handed over at once: as many wait again in the connection's own buffer."""


class Stream(StreamingResponse):
    """Sends `size` bytes: `first`, then `chunks`, each fetched on a thread when the client has taken the one before.

    However it ends, `chunks` is closed. Where the store fails, or has not so many bytes, the connection ends early,
    which a client knows by the Content-Length.
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
            self._chunks.close()

    async def stream_response(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        chunk: bytes | None = self._first
        try:
            while self._left and chunk and len(chunk) <= self._left:
                self._left -= len(chunk)
                for start in range(0, len(chunk), PIECE):
                    piece = memoryview(chunk)[start : start + PIECE]
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                chunk = await run_in_threadpool(next, self._chunks, None)
        except StoreError as error:
            logger.warning("an answer was cut off: %s", error)
            return
        if self._left or chunk:
            logger.warning("an answer was cut off: %s: not as many bytes as the store said", self._what)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
