"""An S3 server that answers as a test tells it and records its requests, for what no real server does."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.parts.http_server import Handler, serving


@dataclass(frozen=True)
class Asked:
    """A request. `path` includes the query; the names in `headers` are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """`cut` bytes are missing at the end of the body that was announced, which `has_length` says beforehand."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int = 0
    has_length: bool = True


@dataclass
class Drop:
    """Reads the request, then closes the connection without an answer."""


def error(status: int, code: str) -> Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>scripted</Message></Error>"
    return Answer(status, {"Content-Type": "application/xml"}, body.encode())


@dataclass
class ScriptedServer:
    """Answers with `script`, one after the other, then with `otherwise`."""

    script: deque[Answer | Drop] = field(default_factory=deque)
    otherwise: Callable[[Asked], Answer] = lambda _: Answer(headers={"ETag": '"e"'})
    asked: list[Asked] = field(default_factory=list)
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, asked: Asked) -> Answer | Drop:
        with self.lock:
            self.asked.append(asked)
            if self.script:
                return self.script.popleft()
        return self.otherwise(asked)

    def methods(self) -> list[str]:
        return [asked.method for asked in self.asked]


@contextlib.contextmanager
def serve_script(certificate: Path | None = None) -> Iterator[ScriptedServer]:
    """Runs one on a free port of 127.0.0.1, with TLS if given a file with a certificate and its key."""
    scripted = ScriptedServer()

    class Scripted(Handler):
        def reply(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = scripted.answer(Asked(self.command, self.path, headers, self.body()))
            self.close_connection = isinstance(answer, Drop) or answer.cut > 0
            if isinstance(answer, Drop):
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.has_length:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body[: len(answer.body) - answer.cut])

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_CONNECT = reply  # noqa: N815 the names that http.server calls

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
    if tls and certificate:
        tls.load_cert_chain(certificate)
    with serving(Scripted, tls) as scripted.url:
        yield scripted
