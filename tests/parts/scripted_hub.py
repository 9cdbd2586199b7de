"""Docker Hub's count of pulls, which no registry that runs here has: a proxy in front of a real one.

A GET of a manifest is a pull, whether by tag or digest, of an index or of a platform's image; a HEAD is none. The answers
to both say what is left, and beyond the limit a GET answers 429 (docs.docker.com, "Docker Hub pull usage and limits").
"""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.parts.http_server import Handler, serving

WINDOW = 21_600
"""Seconds."""

TOO_MANY = b'{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}'


@dataclass
class DockerHub:
    """`left` of `limit` pulls; None: an account without a limit. `grants` more come with each HEAD of a manifest."""

    upstream: str
    host: str = ""
    limit: int = 100
    left: int | None = 100
    grants: int = 0
    pulls: list[str] = field(default_factory=list)
    looks: list[str] = field(default_factory=list)
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, method: str, path: str) -> bool:
        """Whether the request may go on."""
        with self.lock:
            if method == "HEAD":
                self.looks.append(path)
                if self.left is not None:
                    self.left = min(self.left + self.grants, self.limit)
                return True
            if self.left == 0:
                self.refused += 1
                return False
            self.pulls.append(path)
            if self.left is not None:
                self.left -= 1
            return True

    def headers(self) -> dict[str, str]:
        if self.left is None:
            return {}
        return {
            "ratelimit-limit": f"{self.limit};w={WINDOW}",
            "ratelimit-remaining": f"{self.left};w={WINDOW}",
            "docker-ratelimit-source": "192.0.2.1",
        }


class _Proxy(Handler):
    hub: DockerHub

    def reply(self) -> None:
        counts = "/manifests/" in self.path
        if counts and not self.hub.count(self.command, self.path):
            self._send(429, self.hub.headers(), TOO_MANY)
            return
        connection = http.client.HTTPConnection(urlsplit(self.hub.upstream).netloc, timeout=60)
        with contextlib.closing(connection):
            connection.request(self.command, self.path, headers=dict(self.headers.items()))
            answer = connection.getresponse()
            body = answer.read()
        self._send(answer.status, {**dict(answer.getheaders()), **(self.hub.headers() if counts else {})}, body)

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if self.command == "HEAD" or name not in ("Content-Length", "Transfer-Encoding", "Connection"):
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = reply  # noqa: N815 the names that http.server calls


@contextlib.contextmanager
def start_docker_hub(upstream: str) -> Iterator[DockerHub]:
    """Runs one on a free port, in front of the registry at this URL."""
    hub = DockerHub(upstream)
    with serving(type("Proxy", (_Proxy,), {"hub": hub})) as url:
        hub.host = url.partition("//")[2]
        yield hub
