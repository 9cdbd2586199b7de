"""`r2mirror serve` inside the test process, over any store, on a free port."""

from __future__ import annotations

import contextlib
import http.client
import threading
from typing import TYPE_CHECKING, NamedTuple

from reconciler.serve.server import listen, server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.stores import Store


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
        connection = http.client.HTTPConnection(self.host, timeout=60)
        connection._validate_path = lambda url: None  # type: ignore[attr-defined]
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host="host" in headers, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())


@contextlib.contextmanager
def serving(store: Store, host: str = "127.0.0.1") -> Iterator[Served]:
    """Serves `store` for the length of the block."""
    with listen(host, 0) as listener:
        running = server(store, listener, access_log=False)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Served(f"127.0.0.1:{listener.getsockname()[1]}")
        finally:
            running.should_exit = True
            thread.join()
