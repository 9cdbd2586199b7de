"""The web server: which socket it listens on, and which of uvicorn's many parts are used."""

from __future__ import annotations

import logging
import socket
from asyncio import CancelledError
from typing import TYPE_CHECKING

from uvicorn import Config, Server

from reconciler.errors import UsageError
from reconciler.serve.connections import Connection
from reconciler.serve.gate import Gate, is_loopback
from reconciler.serve.listener import Listener, affordable
from reconciler.serve.registry import registry

if TYPE_CHECKING:
    from reconciler.stores import Store

CONNECTIONS = 256
"""Requests at once, beyond which one is answered 503. Each may hold one chunk of a blob in memory."""

ROOM = 64
"""Connections beside them: for probes, and for clients that are between two requests."""

STOP_TIMEOUT = 10
"""Seconds that downloads get to end when the server is stopped."""


def listen(host: str, port: int) -> Listener:
    """A socket that accepts connections, on a free port if `port` is 0. Raises `UsageError`."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return Listener(socket.create_server(address[:2], family=family))
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"cannot listen on {host} port {port}: {reason}; choose another with --port (0 takes a free one) or --host"
        ) from error


def server(store: Store, listener: Listener, *, access_log: bool) -> Server:
    """The server; `run(sockets=[listener])` serves until SIGINT or SIGTERM. `access_log` logs each request at INFO.

    Which of uvicorn's many parts are used does not depend on what else is installed.
    """
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    logging.getLogger("uvicorn.access").setLevel(logging.INFO)
    connections, room = affordable(CONNECTIONS, ROOM)
    gate = Gate(registry(store), connections, loopback_only=is_loopback(listener.getsockname()[0]))
    return Server(
        Config(
            gate,
            loop="asyncio",
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=access_log,
            proxy_headers=False,
            server_header=False,
            headers=[("Docker-Distribution-API-Version", "registry/2.0")],
            limit_concurrency=connections + room + 1,
            timeout_graceful_shutdown=STOP_TIMEOUT,
        )
    )


_OLD_NEWS = ("ASGI callable returned without", "Invalid HTTP request", "Unsupported upgrade", "No supported WebSocket")


def _is_news(record: logging.LogRecord) -> bool:
    """Leaves out what uvicorn says of answers that we cut off, having said why, and of clients that try TLS or HTTP/2.

    And the traceback of each answer that is cut off when the server stops, of which there is one line already.
    """
    if record.exc_info and isinstance(record.exc_info[1], CancelledError):
        return False
    return not record.getMessage().startswith(_OLD_NEWS)
