"""Connections that trickle are given up, whichever part of an answer trickles; slow ones and silent starts are not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import Unreachable
from reconciler.http import speed
from reconciler.oci.spec import Descriptor, Digest
from tests.parts.scripted_server import Answer

if TYPE_CHECKING:
    from reconciler.sources.repository import RegistrySource
    from tests.parts.lying_registry import LyingRegistry

TAGS = "GET /v2/team/app/tags/list?n=1000"
LIST = b'{"tags": ["1"]}' + b" " * 2000
BLOB = bytes(range(256)) * 8
DESCRIPTOR = Descriptor("application/octet-stream", Digest.of(BLOB), len(BLOB))


@pytest.fixture(autouse=True)
def short_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "WINDOW", 0.2)


@pytest.mark.parametrize("slow_headers", [True, False], ids=["headers", "body"])
def test_a_document_that_trickles_is_given_up(
    slow_headers: bool, lying: LyingRegistry, open_at: Callable[..., RegistrySource]
) -> None:
    lying.on(TAGS, Answer(body=LIST, pause=0.01, slow_headers=slow_headers))
    started = time.monotonic()
    with pytest.raises(Unreachable, match="less than 16384 bytes a second"):
        open_at(lying.host).tags()
    assert len(lying.requests(TAGS)) == 3
    assert time.monotonic() - started < 10


def test_a_blob_that_trickles_is_given_up(lying: LyingRegistry, open_at: Callable[..., RegistrySource]) -> None:
    lying.on(f"GET /v2/team/app/blobs/{DESCRIPTOR.digest}", Answer(body=BLOB, pause=0.01))
    with pytest.raises(Unreachable, match="less than 16384 bytes a second"):
        b"".join(open_at(lying.host).blob(DESCRIPTOR))


def test_a_token_that_trickles_is_given_up(lying: LyingRegistry, open_at: Callable[..., RegistrySource]) -> None:
    challenge = {"WWW-Authenticate": f'Bearer realm="{lying.url}/token",service="lying"'}
    lying.on(TAGS, Answer(401, challenge))
    scope = "scope=repository%3Ateam%2Fapp%3Apull"
    lying.on(f"GET /token?service=lying&{scope}", Answer(body=b" " * 2000 + b'{"token": "t"}', pause=0.01))
    with pytest.raises(Unreachable, match="less than 16384 bytes a second"):
        open_at(lying.host).tags()


def test_interim_answers_without_end_are_given_up(lying: LyingRegistry, open_at: Callable[..., RegistrySource]) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 500
    lying.on(TAGS, Answer(raw=hints, repeat=500))
    with pytest.raises(Unreachable, match="the headers of its answer do not end"):
        open_at(lying.host).tags()
    lying.on(TAGS, Answer(raw=hints + b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(LIST), LIST)))
    assert open_at(lying.host).tags() == ("1",), "a few are nothing unusual"


@pytest.mark.slow
def test_who_thinks_first_is_waited_for(
    lying: LyingRegistry, open_at: Callable[..., RegistrySource], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = lying.answer

    def answer_late(request: object) -> Answer:
        time.sleep(0.5)
        return asked(request)  # type: ignore[arg-type]

    monkeypatch.setattr(lying, "answer", answer_late)
    lying.on(TAGS, Answer(body=LIST))
    source = open_at(lying.host)
    assert source.tags() == source.tags() == ("1",)
    assert len(lying.requests(TAGS)) == 2


def test_time_that_we_take_ourselves_does_not_count(
    lying: LyingRegistry, open_at: Callable[..., RegistrySource]
) -> None:
    body = bytes(4_000_000)
    descriptor = Descriptor("application/octet-stream", Digest.of(body), len(body))
    lying.on(f"GET /v2/team/app/blobs/{descriptor.digest}", Answer(body=body))
    read = 0
    for chunk in open_at(lying.host).blob(descriptor):
        read += len(chunk)
        time.sleep(0.005)
    assert read == len(body)
    assert len(lying.requests("GET")) == 1
