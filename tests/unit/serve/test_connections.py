"""Idle and stalled clients: `serve` closes their connections, makes room, and survives a lack of descriptors."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import Mock

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from reconciler.serve.admission import names_loopback
from reconciler.serve.connections import Connection
from reconciler.serve.listener import RESERVE, affordable
from reconciler.serve.server import listen
from reconciler.target.layout import CATALOG, JSON_HEADERS
from tests.memory import MemoryStore
from tests.parts.serving import (
    LARGE_SIZE,
    Watched,
    connected,
    error_of,
    has_ended,
    serving,
    slow_client,
    wait_until,
)

ASK = "reconciler.serve.connections.REQUEST_TIMEOUT"
TAKE = "reconciler.serve.connections.READ_TIMEOUT"


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Is set once the server has given up a connection: a client that reads nothing cannot tell."""
    event, connection_lost = threading.Event(), Connection.connection_lost

    def told(connection: Connection, error: Exception | None) -> None:
        connection_lost(connection, error)
        event.set()

    monkeypatch.setattr(Connection, "connection_lost", told)
    return event


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    """What is entered here is closed in the end."""
    with ExitStack() as stack:
        yield stack


def a_store() -> MemoryStore:
    store = MemoryStore({})
    store.put(CATALOG, b'{"repositories":["a"]}', JSON_HEADERS)
    return store


def test_idle_connections_make_room_for_whom_asks(clients: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.serve.server.CONNECTIONS", 6)
    monkeypatch.setattr("reconciler.serve.server.ROOM", 2)
    with serving(a_store()) as running:
        idle = [connected(clients, running.host) for _ in range(40)]
        for _ in range(3):
            assert running.ask("/v2/").status == 200
            assert running.ask("/v2/_catalog").status == 200
        wait_until(lambda: all(map(has_ended, idle[:32])))
        assert not has_ended(idle[-1]), "the newest stay"


def test_a_download_is_not_what_makes_room(
    watched: Watched, clients: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.serve.server.CONNECTIONS", 2)
    monkeypatch.setattr("reconciler.serve.server.ROOM", 1)
    with serving(watched) as running:
        loading = [clients.enter_context(slow_client(running.host)) for _ in range(2)]
        wait_until(lambda: watched.under_way == 2)
        for _ in range(20):
            connected(clients, running.host)
        assert running.ask("/v2/").status == 200
        for client in loading:
            assert len(b"".join(iter(lambda: client.recv(1 << 20), b""))) > LARGE_SIZE  # noqa: B023 (read at once)


@pytest.mark.parametrize("asked", [b"", b"GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"])
@pytest.mark.parametrize("trickle", [False, True])
def test_a_client_that_does_not_finish_its_request_is_given_up(
    asked: bytes, clients: ExitStack, monkeypatch: pytest.MonkeyPatch, *, trickle: bool
) -> None:
    monkeypatch.setattr(ASK, 0.3)
    with serving(a_store()) as running:
        client = connected(clients, running.host)
        client.sendall(asked)
        began = time.monotonic()
        while not has_ended(client):
            assert time.monotonic() - began < 30
            time.sleep(0.02)
            try:
                client.send(b"GET"[:1] if trickle else b"")
            except OSError:
                break


def test_a_client_that_takes_nothing_is_given_up(
    watched: Watched, clients: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TAKE, 0.5)
    with serving(watched) as running:
        stalled = clients.enter_context(slow_client(running.host))
        wait_until(lambda: watched.most_under_way == 1 and watched.under_way == 0)
        wait_until(lambda: has_ended(stalled))


def test_a_client_that_is_slow_is_not_given_up_while_it_takes_something() -> None:
    loop, transport = Mock(), Mock()
    transport.get_extra_info.return_value = None
    connection = Connection(Config(Mock()), ServerState(), {}, loop)
    connection.connection_made(transport)
    for size, again in ((90_000, True), (40_000, True), (39_999, True), (39_999, False)):
        transport.get_write_buffer_size.return_value = size
        if size == 90_000:
            connection.pause_writing()
        else:
            _, check, before = loop.call_later.call_args.args
            check(before)
        assert transport.abort.called is not again


def test_the_end_of_an_answer_that_is_not_taken_keeps_no_connection(
    clients: ExitStack, lost: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list is one write: the answer is complete for the server while most of it waits for the client."""
    monkeypatch.setattr(ASK, 0.2)
    monkeypatch.setattr(TAKE, 0.5)
    store = a_store()
    names = ",".join(f'"{number:0200}"' for number in range(40_000))
    store.put(CATALOG, f'{{"repositories":[{names}]}}'.encode(), JSON_HEADERS)
    with serving(store) as running:
        client = clients.enter_context(slow_client(running.host, "/v2/_catalog"))
        assert lost.wait(60)
        wait_until(lambda: has_ended(client))


@pytest.mark.parametrize(
    ("soft", "hard", "expected", "raised"),
    [
        (1024, 4096, (256, 64), None),
        (256, 4096, (256, 64), 2 * 256 + 64 + RESERVE),
        (256, 256, (72, 48), None),
        (256, resource.RLIM_INFINITY, (256, 64), 2 * 256 + 64 + RESERVE),
        (64, 64, (18, 12), None),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, (256, 64), None),
    ],
)
def test_connections_are_as_many_as_there_are_descriptors_for(
    soft: int, hard: int, expected: tuple[int, int], raised: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    assert affordable(256, 64) == expected
    assert asked == ([(raised, hard)] if raised else [])


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:5000", True),
        ("127.8.8.8:5000", True),
        ("localhost:5000", True),
        ("LocalHost.", True),
        ("mirror.localhost:80", True),
        ("[::1]:5000", True),
        ("[::1]", True),
        ("", False),
        ("x", False),
        ("example.com:5000", False),
        ("127.0.0.1.example.com", False),
        ("localhost.example.com", False),
        ("notlocalhost", False),
        ("10.0.0.7:5000", False),
        ("[::2]:5000", False),
        ("0.0.0.0:5000", False),
    ],
)
def test_what_a_loopback_host_is(host: str, *, expected: bool) -> None:
    assert names_loopback(host) is expected


def test_bound_to_loopback_it_answers_no_other_name() -> None:
    with serving(a_store()) as running:
        for path in ("/v2/", "/v2/_catalog", "/"):
            refused = running.ask(path, host="rebound.example.com:5000")
            assert (refused.status, error_of(refused.body)) == (421, "DENIED")
            assert b"listen on another address" in refused.body
        assert running.ask("/v2/_catalog", host="localhost:5000").status == 200


def test_bound_to_all_addresses_it_answers_any_name() -> None:
    with serving(a_store(), "0.0.0.0") as running:
        assert running.ask("/v2/_catalog", host="registry.example.com").status == 200


def test_a_listener_gives_back_its_descriptors() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        listen("127.0.0.1", 0).close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
