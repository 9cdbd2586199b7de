"""An HTTP server that answers as a test tells it and records its requests, for what no real server does."""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from tests.parts.http_server import Handler, serving

if TYPE_CHECKING:
    import ssl


@dataclass(frozen=True)
class Asked:
    """A request. `path` includes the query; the names in `headers` are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """An answer to send.

    cut         bytes missing at the end of the body that was announced
    drop        closes the connection without a word
    pause       seconds before each byte of the body; `slow_headers`: and of the headers
    repeat      how often the body is sent, as chunks of one that is announced without a length
    has_length  whether the length of the body is announced
    raw         the bytes on the wire instead of all this; `repeat` holds for them too
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int = 0
    drop: bool = False
    pause: float = 0.0
    slow_headers: bool = False
    repeat: int = 1
    has_length: bool = True
    raw: bytes = b""


DROP = Answer(drop=True)


class Answering(Protocol):
    """A world that answers requests."""

    def answer(self, asked: Asked) -> Answer: ...


@dataclass
class ScriptedServer:
    """Answers what was scripted, and records each request.

    script      answers to whatever is asked next, one after the other
    by_request  answers to one `METHOD /path`, one after the other, the last one again and again
    otherwise   answers everything else
    """

    url: str = ""
    script: deque[Answer] = field(default_factory=deque)
    by_request: defaultdict[str, deque[Answer]] = field(default_factory=lambda: defaultdict(deque))
    otherwise: Callable[[Asked], Answer] = lambda _: Answer(404)
    asked: list[Asked] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def host(self) -> str:
        return self.url.partition("//")[2]

    def on(self, request: str, *answers: Answer) -> None:
        """Scripts the answers to `request`, e.g. `GET /v2/a/tags/list?n=1000`."""
        self.by_request[request] = deque(answers)

    def requests(self, beginning: str = "") -> list[str]:
        """Lists every request so far, as `METHOD /path`."""
        return [line for asked in self.asked if (line := f"{asked.method} {asked.path}").startswith(beginning)]

    def methods(self) -> list[str]:
        return [asked.method for asked in self.asked]

    def answer(self, asked: Asked) -> Answer:
        with self.lock:
            self.asked.append(asked)
            scripted = self.scripted(asked)
        # Outside the lock: a test may let one answer take its time while others are sent.
        return scripted or self.otherwise(asked)

    def scripted(self, asked: Asked) -> Answer | None:
        if self.script:
            return self.script.popleft()
        answers = self.by_request.get(f"{asked.method} {asked.path}")
        if not answers:
            return None
        return answers.popleft() if len(answers) > 1 else answers[0]


class _AnswerHandler(Handler):
    """Sends the `Answer` that `world` has for a request."""

    world: Answering

    def reply(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.world.answer(Asked(self.command, self.path, headers, self.body()))
        if answer.drop or answer.raw:
            self.close_connection = True
            for _ in range(answer.repeat):
                self.wfile.write(answer.raw)
            return
        self._send_head(answer)
        if self.command != "HEAD":
            self._send_body(answer)
        if answer.cut or answer.repeat > 1:
            self.close_connection = True

    def _send_head(self, answer: Answer) -> None:
        self.send_response(answer.status)
        is_announced = answer.has_length and answer.repeat == 1
        length = {"Content-Length": str(len(answer.body))} if is_announced else {"Connection": "close"}
        for name, value in {**length, **answer.headers}.items():
            for one in value.split("\n"):
                if one:
                    self.send_header(name, one)
        if not answer.slow_headers:
            self.end_headers()
            return
        written, self.wfile = self.wfile, io.BytesIO()
        self.end_headers()
        head, self.wfile = self.wfile.getvalue(), written
        self._trickle(head, answer.pause)

    def _send_body(self, answer: Answer) -> None:
        body = answer.body[: len(answer.body) - answer.cut]
        if answer.pause:
            self._trickle(body, answer.pause)
            return
        for _ in range(answer.repeat):
            self.wfile.write(body)

    def _trickle(self, text: bytes, pause: float) -> None:
        for byte in text:
            time.sleep(pause)
            self.wfile.write(bytes([byte]))

    # The names that http.server calls.
    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_CONNECT = reply  # noqa: N815


@contextlib.contextmanager
def serve_answers(world: Answering, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Yields the URL of a server on a free port; `tls` has the certificate to show, without one it speaks plain http."""
    with serving(type("AnswerHandler", (_AnswerHandler,), {"world": world}), tls) as url:
        yield url
