"""Serves a store as a read-only registry, through uvicorn. Prints nothing.

with listen("127.0.0.1", 5000) as listener:
    serve(open_stores(mirrors.store, os.environ).public, listener)
"""

from __future__ import annotations

import logging
import socket
import threading
from asyncio import CancelledError
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from uvicorn import Config, Server

from reconciler.errors import UsageError
from reconciler.serve.admission import Admission, names_loopback
from reconciler.serve.connections import Connection
from reconciler.serve.gate import Gate
from reconciler.serve.listener import Listener, affordable
from reconciler.serve.registry import registry

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from reconciler.access.judge import Guard
    from reconciler.pulls.counter import Counter
    from reconciler.serve.traffic import Tally
    from reconciler.stores import Store

CONNECTIONS = 256
"""Concurrent requests; any more are answered 503. Each may hold one chunk of a blob in memory."""

ROOM = 64
"""Additional connections, for probes and for clients that are between two requests."""

PROBES = ("/v2", "/v2/")

STOP_TIMEOUT = 10
"""Seconds that downloads get to finish when the server is stopped."""


def listen(host: str, port: int, option: str = "--port") -> Listener:
    """Opens a listening socket, on a free port if `port` is 0. Raises `UsageError` if the address cannot be used.

    option  sets the port
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return Listener(socket.create_server(address[:2], family=family))
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        another = f"choose another with {option} (0 takes a free one) or --host"
        raise UsageError(f"cannot listen on {host} port {port}: {reason}; {another}") from error


def serve(
    store: Store,
    listener: Listener,
    *,
    access_log: bool = False,
    counter: Counter | None = None,
    guard: Callable[[], Guard] | None = None,
    traffic: Tally | None = None,
) -> None:
    """Serves `store` until SIGINT or SIGTERM.

    access_log  logs each request at INFO
    guard       returns who may pull; None: everyone
    traffic     counts the requests
    """
    made = server(store, listener, access_log=access_log, counter=counter, guard=guard, traffic=traffic)
    with suppress(KeyboardInterrupt):
        made.run(sockets=[listener])


def server(
    store: Store,
    listener: Listener,
    *,
    access_log: bool,
    counter: Counter | None = None,
    guard: Callable[[], Guard] | None = None,
    traffic: Tally | None = None,
) -> Server:
    """Configures the server of a registry; `run(sockets=[listener])` serves until SIGINT or SIGTERM."""
    application = guarded_registry(store, counter, guard)
    return web_server(application, listener, probes=PROBES, access_log=access_log, traffic=traffic)


def guarded_registry(store: Store, counter: Counter | None, guard: Callable[[], Guard] | None) -> ASGIApp:
    """Builds the registry of a store, for those that `guard` lets in; None: everyone."""
    application = registry(store, counter)
    return Gate(application, guard) if guard else application


def web_server(
    application: ASGIApp,
    listener: Listener,
    *,
    probes: Collection[str],
    access_log: bool,
    traffic: Tally | None = None,
) -> Server:
    """Configures a server for any application. `probes` are the paths that are answered however busy it is."""
    logging.getLogger("uvicorn.error").addFilter(_is_worth_logging)
    logging.getLogger("uvicorn.access").setLevel(logging.INFO)
    logging.getLogger("uvicorn.access").addFilter(_without_secret)
    connections, room = affordable(CONNECTIONS, ROOM)
    loopback_only = names_loopback(listener.getsockname()[0])
    admission: ASGIApp = Admission(application, connections, loopback_only=loopback_only, probes=probes)
    return Server(
        Config(
            traffic.around(admission) if traffic else admission,
            # By default uvicorn picks what is installed: uvloop, httptools, websockets.
            loop="asyncio",
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=access_log,
            # uvicorn would believe X-Forwarded-For from every client on loopback.
            proxy_headers=False,
            server_header=False,
            headers=[("Docker-Distribution-API-Version", "registry/2.0")],
            # From this number on uvicorn itself answers 503; `Connection` makes room before that.
            limit_concurrency=connections + room + 1,
            timeout_graceful_shutdown=STOP_TIMEOUT,
        )
    )


@contextmanager
def in_background(server: Server, listener: Listener) -> Iterator[None]:
    """Runs a server on a thread of its own for the length of the block. Signals are left to the caller."""
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="port", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


def _without_secret(record: logging.LogRecord) -> bool:
    """Removes the query from what the access log says about a webhook: it may have the secret."""
    if isinstance(record.args, tuple) and len(record.args) == 5 and str(record.args[2]).startswith("/hooks/"):
        client, method, path, *rest = record.args
        record.args = (client, method, str(path).partition("?")[0], *rest)
    return True


_NOT_WORTH_LOGGING = (
    "ASGI callable returned without",
    "Invalid HTTP request",
    "Unsupported upgrade",
    "No supported WebSocket",
)


def _is_worth_logging(record: logging.LogRecord) -> bool:
    """Whether one of uvicorn's log records is worth a line.

    These are not: responses that `Stream` cut off and logged, clients that try TLS or HTTP/2, and the tracebacks of
    responses that are cut off when the server stops, for which uvicorn logs one line anyway.
    """
    if record.exc_info and isinstance(record.exc_info[1], CancelledError):
        return False
    return not record.getMessage().startswith(_NOT_WORTH_LOGGING)
