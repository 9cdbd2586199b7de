"""What doctor finds in a bucket on a server that resembles S3."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from reconciler.doctor.bucket import check_bucket, check_clock
from reconciler.doctor.results import Status
from reconciler.stores.buckets import S3
from tests.parts.scripted_s3 import error, start_scripted_s3
from tests.parts.scripted_server import Answer, Asked, ScriptedServer

CREDENTIALS = {"R2_ACCESS_KEY_ID": "the-key", "R2_SECRET_ACCESS_KEY": "the-secret"}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with start_scripted_s3() as running:
        yield running


def test_a_server_without_conditional_writes_is_named_as_that(server: ScriptedServer) -> None:
    def answer(asked: Asked) -> Answer:
        if asked.method == "PUT":
            return error(501, "NotImplemented")
        if asked.method == "GET" and "list-type" in asked.path:
            return Answer(body=b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
        return error(404, "NoSuchKey") if asked.method == "GET" else Answer(body=b"<DeleteResult/>")

    server.otherwise = answer
    stores = S3("bucket", "auto", server.url, None, None).open(CREDENTIALS)
    found = {one.check: one for one in check_bucket(stores, S3.advice)}
    assert [name for name, one in found.items() if one.status is Status.ERROR] == ["write"]
    assert "has no conditional writes" in found["write"].found
    assert found["write"].fix.startswith("use a store with conditional writes: Cloudflare R2, ")


@pytest.mark.parametrize(
    ("hours", "date", "status"),
    [
        (0, "{0}, {0}", Status.OK),
        (-1, "{0}, {0}", Status.ERROR),
        (0, "yesterday", None),
        (0, "Thu, 26 Nov 2026 12:00:00", None),
    ],
)
def test_the_server_s_clock_is_read_whatever_it_sends(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, hours: int, date: str, status: Status | None
) -> None:
    told = format_datetime(datetime.now(UTC) + timedelta(hours=hours), usegmt=True)
    monkeypatch.setattr(
        "http.server.BaseHTTPRequestHandler.date_time_string", lambda *_: date.format(told), raising=True
    )
    found = [one.status for one in check_clock("s3://bucket", server.url, S3.advice)]
    assert found == ([status] if status else [])
