"""A registry that answers as a test tells it and records its requests, for what no real registry does."""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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
    """What to answer.

    cut     so many bytes are missing at the end of the body that was announced
    drop    closes the connection without a word
    pause   seconds before each byte of the body; `slow_headers`: and of the headers
    repeat  how often the body is sent, as chunks of one that is announced without a length
    raw     the bytes on the wire instead of all this; `repeat` holds for them too
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int = 0
    drop: bool = False
    pause: float = 0.0
    slow_headers: bool = False
    repeat: int = 1
    raw: bytes = b""


DROP = Answer(drop=True)


@dataclass
class LyingRegistry:
    """Answers each `METHOD /path` with what was scripted for it, one after the other, the last one again and again.

    `wants` is the Authorization header that requests below /v2/ need, and the challenge for those without it. `judge`
    may answer instead.
    """

    host: str = ""
    scheme: str = "http"
    asked: list[Asked] = field(default_factory=list)
    script: defaultdict[str, deque[Answer]] = field(default_factory=lambda: defaultdict(deque))
    wants: tuple[str, str] | None = None
    judge: Callable[[Asked], Answer | None] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}"

    def on(self, request: str, *answers: Answer) -> None:
        """What to answer to `request`, as in `GET /v2/a/tags/list?n=1000`."""
        self.script[request] = deque(answers)

    def requests(self, beginning: str = "") -> list[str]:
        """Every request so far, as `METHOD /path`."""
        return [line for asked in self.asked if (line := f"{asked.method} {asked.path}").startswith(beginning)]

    def answer(self, asked: Asked) -> Answer:
        with self.lock:
            self.asked.append(asked)
            if self.judge and (judged := self.judge(asked)):
                return judged
            if self.wants and asked.path.startswith("/v2/") and asked.headers.get("authorization") != self.wants[0]:
                return Answer(401, {"WWW-Authenticate": self.wants[1]})
            answers = self.script.get(f"{asked.method} {asked.path}")
            if not answers:
                return Answer(404)
            return answers.popleft() if len(answers) > 1 else answers[0]


class AnswerHandler(Handler):
    """Sends the `Answer` that `registry` has for what is asked."""

    registry: LyingRegistry

    def reply(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.registry.answer(Asked(self.command, self.path, headers, self.body()))
        if answer.drop or answer.raw:
            self.close_connection = True
            for _ in range(answer.repeat):
                self.wfile.write(answer.raw)
            return
        self._send_head(answer)
        if self.command != "HEAD":
            self._send_body(answer)
        self.close_connection = bool(answer.cut) or answer.repeat > 1

    def _send_head(self, answer: Answer) -> None:
        self.send_response(answer.status)
        length = {"Content-Length": str(len(answer.body))} if answer.repeat == 1 else {"Connection": "close"}
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

    do_GET = do_HEAD = do_POST = do_CONNECT = reply  # noqa: N815 the names that http.server calls


@contextlib.contextmanager
def start_lying_registry(tls: ssl.SSLContext | None = None) -> Iterator[LyingRegistry]:
    """Runs one on a free port; `tls` has the certificate to show, without one it speaks plain http."""
    registry = LyingRegistry(scheme="https" if tls else "http")
    with serving(type("Handler", (AnswerHandler,), {"registry": registry}), tls) as url:
        registry.host = url.partition("//")[2]
        yield registry
