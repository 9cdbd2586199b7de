"""Passes TCP connections on to a server and counts them: how many there were, and how many at the same time."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Connections:
    """Those to `host` so far."""

    host: str
    total: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    open: set[socket.socket] = field(default_factory=set)

    def add(self, connection: socket.socket) -> None:
        with self.lock:
            self.open.add(connection)
            self.total += 1
            self.most = max(self.most, len(self.open))

    def remove(self, connection: socket.socket) -> None:
        with self.lock:
            self.open.discard(connection)


@contextlib.contextmanager
def counting(server: str) -> Iterator[Connections]:
    """Listens on a free port in front of `server`, host:port, for the length of the block."""
    host, _, port = server.rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        seen = Connections(f"127.0.0.1:{listener.getsockname()[1]}")

        def serve(client: socket.socket) -> None:
            with client, socket.create_connection((host, int(port))) as upstream:
                answers = threading.Thread(target=_pass_on, args=(upstream, client))
                answers.start()
                _pass_on(client, upstream)
                seen.remove(client)
                answers.join()

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    seen.add(client)
                    threading.Thread(target=serve, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield seen
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)


def _pass_on(from_: socket.socket, to: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := from_.recv(65536):
            to.sendall(chunk)
    with contextlib.suppress(OSError):
        to.shutdown(socket.SHUT_WR)
