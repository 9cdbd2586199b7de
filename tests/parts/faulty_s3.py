"""An S3 server that misbehaves where a test says: a proxy in front of a real one, which does everything else."""

from __future__ import annotations

import contextlib
import http.client
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from urllib.parse import urlsplit

from tests.parts.http_server import Handler, serving

ERRORS = {
    403: "AccessDenied",
    412: "PreconditionFailed",
    429: "TooManyRequests",
    500: "InternalError",
    503: "SlowDown",
}
"""Status -> the code that S3 and R2 answer with it."""


@dataclass
class Trouble:
    """What happens to requests whose `METHOD /path?query` begins with a match of `to`.

    what   a status of `ERRORS`; `lost`: it is done, and the connection closed without an answer; `refused`: closed
           before it is done; `cut`: half of the answer's body is sent
    first  how many of them are let through before
    times  how many of them it happens to
    """

    to: str
    what: int | str
    first: int = 0
    times: int = 10**9
    seen: int = 0

    def applies(self, request: str) -> bool:
        if not re.match(self.to, request):
            return False
        self.seen += 1
        return self.first < self.seen <= self.first + self.times


@dataclass
class FaultyS3:
    """`url` is where it is; `skew` seconds are added to the times in its answers.

    `asked` has each request as `METHOD /path?query`, with the bytes of its body; COPY is a PUT
    that copies.
    `one_write_a_second`: a key that was written less than a second ago answers 429, as R2 does.
    """

    upstream: str
    url: str = ""
    troubles: list[Trouble] = field(default_factory=list)
    skew: float = 0.0
    one_write_a_second: bool = False
    requests: Counter[str] = field(default_factory=Counter)
    asked: list[tuple[str, int]] = field(default_factory=list)
    happened: int = 0
    written: dict[str, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def trouble(self, method: str, path: str) -> int | str | None:
        with self.lock:
            self.requests[method] += 1
            now, last = time.monotonic(), self.written.get(path, float("-inf"))
            if method == "PUT" and self.one_write_a_second:
                if now - last < 1.0:
                    self.happened += 1
                    return 429
                self.written[path] = now
            for trouble in self.troubles:
                if trouble.applies(f"{method} {path}"):
                    self.happened += 1
                    return trouble.what
        return None


class _Proxy(Handler):
    faulty: FaultyS3

    def reply(self) -> None:
        body = self.body()
        method = "COPY" if self.headers.get("x-amz-copy-source") else self.command
        self.faulty.asked.append((f"{method} {self.path}", len(body)))
        trouble = self.faulty.trouble(self.command, self.path)
        if isinstance(trouble, int):
            text = f"<?xml version='1.0'?><Error><Code>{ERRORS[trouble]}</Code><Message>made up</Message></Error>"
            self._send(trouble, {"Content-Type": "application/xml"}, text.encode())
            return
        if trouble == "refused":
            self.close_connection = True
            return
        status, headers, answer = self._ask(body)
        if trouble == "lost":
            self.close_connection = True
            return
        self._send(status, headers, answer, half=trouble == "cut")

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(urlsplit(self.faulty.upstream).netloc, timeout=60)
        with contextlib.closing(connection):
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def _send(self, status: int, headers: dict[str, str], body: bytes, *, half: bool = False) -> None:
        self.send_response_only(status)
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
        for name, value in headers.items():
            if name in ("Date", "Last-Modified"):
                moved = parsedate_to_datetime(value).timestamp() + self.faulty.skew
                self.send_header(name, formatdate(moved, usegmt=True))
            elif name not in ("Content-Length", "Transfer-Encoding", "Connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if half else body)
        self.close_connection = half

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = reply  # noqa: N815 the names that http.server calls


@contextlib.contextmanager
def start_faulty_s3(upstream: str) -> Iterator[FaultyS3]:
    """Runs one on a free port, in front of the S3 server at this URL."""
    faulty = FaultyS3(upstream)
    with serving(type("Proxy", (_Proxy,), {"faulty": faulty})) as faulty.url:
        yield faulty
