"""`r2mirror serve` inside the test process, over any store, on a free port."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from reconciler.oci.spec import Digest
from reconciler.serve.server import listen, server
from reconciler.stores.folder import FolderStore

if TYPE_CHECKING:
    from reconciler.access.judge import Guard
    from reconciler.pulls.counter import Counter
    from reconciler.stores import Store
    from tests.world import World


class Answer(NamedTuple):
    """What came back; the names in `headers` are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Served(NamedTuple):
    """A running server."""

    host: str

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """One request with exactly this path, which nothing normalises; `if_range="x"` sends `if-range: x`."""
        return self._exchange(path, method, None, headers)

    def post(self, path: str, body: bytes, **headers: str) -> Answer:
        """One request with a body."""
        return self._exchange(path, "POST", body, headers)

    def _exchange(self, path: str, method: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        connection = http.client.HTTPConnection(self.host, timeout=60)
        connection._validate_path = lambda url: None  # type: ignore[attr-defined]
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host="host" in headers, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())


@contextlib.contextmanager
def serving(
    store: Store,
    host: str = "127.0.0.1",
    counter: Counter | None = None,
    guard: Callable[[], Guard] | None = None,
) -> Iterator[Served]:
    """Serves `store` for the length of the block, to those that `guard` lets in, and counts in `counter`."""
    with listen(host, 0) as listener:
        running = server(store, listener, access_log=False, counter=counter, guard=guard)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Served(f"127.0.0.1:{listener.getsockname()[1]}")
        finally:
            running.should_exit = True
            thread.join()


LARGE = Digest("sha256", "1" * 64)


LARGE_SIZE = 6 * 1024 * 1024


class Watched(FolderStore):
    """A folder that counts reads under way, and the threads that are in it at once."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.under_way = self.most_under_way = self.inside = self.most_inside = 0
        self.lock = threading.Lock()

    @contextmanager
    def entered(self) -> Iterator[None]:
        with self.lock:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
        yield
        with self.lock:
            self.inside -= 1

    def read(self, key: str, start: int = 0, length: int | None = None) -> Generator[bytes, None, None] | None:
        with self.entered():
            chunks = super().read(key, start, length)
        return None if chunks is None else self.watched(chunks)

    def watched(self, chunks: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
        with self.lock:
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            while True:
                with self.entered():
                    chunk = next(chunks, None)
                if chunk is None:
                    break
                yield chunk
        finally:
            chunks.close()
            with self.lock:
                self.under_way -= 1


def slow_client(host: str, path: str = f"/v2/a/blobs/{LARGE}") -> socket.socket:
    """One that has asked for a blob, the large one unless told, and reads nothing of it yet."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(60)
    address, _, port = host.partition(":")
    client.connect((address, int(port)))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    return client


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, "it never came to pass"
        time.sleep(0.01)


def error_of(body: bytes) -> str:
    """The code of the one error in an answer of the specification's form."""
    (error,) = json.loads(body)["errors"]
    assert set(error) == {"code", "message", "detail"}
    assert re.fullmatch(r"[A-Z_]+", error["code"])
    assert error["message"]
    return str(error["code"])


@dataclass
class Running:
    """The command, and what it has said so far."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text()

    def host(self) -> str:
        """host:port, once it has said where it listens."""
        wait_until(lambda: self.said.count("\n") >= 2 or self.process.poll() is not None)
        found = re.search(r"http://(\S+)/", self.said)
        assert found, self.said
        return found[1]


@contextmanager
def running(world: World, *options: str) -> Iterator[Running]:
    log = world.folder / "said"
    with log.open("wb") as said:
        process = subprocess.Popen(
            world.command("serve", "--port", "0", "-v", *options),
            cwd=world.folder,
            env=world.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
        )
    try:
        yield Running(process, log)
    finally:
        process.kill()
        process.communicate()


def connected(clients: ExitStack, host: str) -> socket.socket:
    address, _, port = host.partition(":")
    client = clients.enter_context(socket.create_connection((address, int(port)), timeout=60))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return client


def has_ended(client: socket.socket) -> bool:
    """Whether the server closed this connection; what it had sent before is passed over."""
    client.setblocking(False)
    try:
        while client.recv(65536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
