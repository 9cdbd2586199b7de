"""What the metrics of a server count."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from reconciler.serve.traffic import ENDPOINTS, Tally, endpoint

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "page"),
        ("/index.html", "page"),
        ("/v2", "ping"),
        ("/v2/", "ping"),
        ("/token", "token"),
        ("/v2/_catalog", "catalog"),
        ("/v2/a/b/tags/list", "tags"),
        ("/v2/a/manifests/1", "manifests"),
        ("/v2/a/blobs/sha256:0", "blobs"),
        ("/v2/tags/referrers/sha256:0", "referrers"),
        ("/v2/a/uploads/1", "other"),
        ("/v1/a/manifests/1", "other"),
        ("manifests", "other"),
        ("", "other"),
    ],
)
def test_paths_are_counted_by_their_kind(path: str, kind: str) -> None:
    assert endpoint(path) == kind
    assert kind in ENDPOINTS


def answering(status: int | None, *chunks: bytes) -> ASGIApp:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        if status is None:
            raise OSError("gone")
        await send({"type": "http.response.start", "status": status, "headers": []})
        for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

    return app


def ask(tally: Tally, app: ASGIApp, method: str = "GET", path: str = "/v2/a/manifests/1") -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    asyncio.run(tally.around(app)({"type": "http", "method": method, "path": path}, receive, send))  # type: ignore[arg-type]
    return sent


def test_answers_are_counted_by_class_with_the_bytes_that_are_sent() -> None:
    tally = Tally()
    assert [one.get("body") for one in ask(tally, answering(200, b"12", b"345"))] == [None, b"12", b"345"]
    ask(tally, answering(200, b"not sent"), "HEAD")
    ask(tally, answering(404, b"1"), path="/v2/b/manifests/1")
    ask(tally, answering(429), path="/token")
    with pytest.raises(OSError, match="gone"):
        ask(tally, answering(None))
    counted = {key: number for key, number in tally.requests.items() if number}
    assert counted == {
        ("manifests", "2xx"): 2,
        ("manifests", "4xx"): 1,
        ("manifests", "none"): 1,
        ("token", "429"): 1,
    }
    assert tally.sent == 6
