"""Times out S3 servers that trickle: botocore's read timeout notices silence only, and a byte now and then resets it.

Headers and bodies are both read through the file that http.client makes of a socket, so the speed is measured there.
"""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)

from reconciler.http.speed import SLOWEST, Speed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def keep_pace(client: S3Client) -> None:
    """Makes every new connection of `client` time out when it falls below `SLOWEST`.

    botocore 1.40 has no public option for this, hence the private names.
    """
    session: Any = client._endpoint.http_session  # type: ignore[attr-defined]
    session._pool_classes_by_scheme.update({"http": _Pool, "https": _TlsPool})


class _Connection(AWSHTTPConnection):
    def connect(self) -> None:
        super().connect()
        self.sock = _Socket(self.sock)


class _TlsConnection(AWSHTTPSConnection):
    def connect(self) -> None:
        super().connect()
        self.sock = _Socket(self.sock)


class _Pool(AWSHTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(AWSHTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Socket:
    """A socket whose file is measured; http.client makes a new one for each answer."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reading(self._sock.makefile(mode, buffering=0)))


class _Reading(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw
        self._speed = Speed(SLOWEST)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        started = time.monotonic()
        size = self._raw.readinto(buffer)
        if self._speed.is_too_slow(size or 0, time.monotonic() - started):
            raise TimeoutError(str(self._speed))
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()
