"""Long bodies arrive whole, and break off as short ones do, although httpcore hands out only their beginnings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from reconciler.http import long_bodies
from reconciler.http.transport import Transport
from tests.parts.scripted_server import Answer

if TYPE_CHECKING:
    from tests.parts.lying_registry import LyingRegistry

BODY = bytes(range(256)) * 8192
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY)


@pytest.fixture(autouse=True)
def long_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_bodies, "LONG", 1000)


@pytest.fixture
def transport() -> Iterator[Transport]:
    with contextlib.closing(Transport(1)) as one:
        yield one


def _read(transport: Transport, url: str, method: str = "GET") -> bytes:
    response = transport.handle_request(httpx.Request(method, url, extensions={"timeout": {"read": 5.0}}))
    with contextlib.closing(response):
        return b"".join(response.iter_raw())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(body=BODY), BODY),
        (Answer(206, body=BODY), BODY),
        (Answer(raw=HEAD + BODY), BODY),
        (Answer(raw=HEAD + BODY + b"of another"), BODY),
        (Answer(body=BODY, has_length=False), BODY),
        (Answer(body=BODY[:1500]), BODY[:1500]),
        (Answer(body=BODY[:1000]), BODY[:1000]),
        (Answer(body=BODY[:999]), BODY[:999]),
        (Answer(404, body=BODY), BODY),
    ],
    ids=["whole", "a part", "at once", "with more after it", "no length", "1500", "just long", "just short", "refusal"],
)
def test_a_body_arrives_whole(
    answer: Answer, expected: bytes, lying: LyingRegistry, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_bodies, "READ_LONG", 7000)
    lying.on("GET /blob", answer)
    for _ in range(2):
        assert _read(transport, f"{lying.url}/blob") == expected
    assert len(lying.asked) == 2, "the one connection that there may be is free again"


def test_chunks_are_left_to_h11(lying: LyingRegistry, transport: Transport) -> None:
    chunks = b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    lying.on("GET /blob", Answer(raw=chunks))
    assert _read(transport, f"{lying.url}/blob") == b"hello"


def test_head_has_no_body(lying: LyingRegistry, transport: Transport) -> None:
    lying.on("HEAD /blob", Answer(body=BODY))
    assert _read(transport, f"{lying.url}/blob", "HEAD") == b""


def test_a_body_that_breaks_off_is_an_error(lying: LyingRegistry, transport: Transport) -> None:
    lying.on("GET /blob", Answer(body=BODY, cut=10))
    with pytest.raises(httpx.RemoteProtocolError, match=f"after {len(BODY) - 10} of {len(BODY)} bytes"):
        _read(transport, f"{lying.url}/blob")
    lying.on("GET /blob", Answer(body=BODY))
    assert _read(transport, f"{lying.url}/blob") == BODY


def test_a_body_that_is_left_ends_its_connection(lying: LyingRegistry, transport: Transport) -> None:
    lying.on("GET /blob", Answer(body=BODY))
    response = transport.handle_request(httpx.Request("GET", f"{lying.url}/blob"))
    chunks = response.iter_raw()
    assert BODY.startswith(next(chunks))
    response.close()
    assert _read(transport, f"{lying.url}/blob") == BODY
