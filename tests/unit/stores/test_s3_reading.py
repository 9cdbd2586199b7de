"""Small objects are read without boto3. What is not clear without it, boto3 is asked, and its answer is the result."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import StoreDenied, StoreError
from reconciler.stores.headers import Headers
from reconciler.stores.s3 import store
from reconciler.stores.s3.opening import PART_WORKERS, LateStore, open_bucket
from reconciler.stores.s3.reading import Reader, signed
from reconciler.stores.s3.server import Server
from reconciler.target.layout import JSON_HEADERS
from tests.parts.process import free_port
from tests.parts.scripted_s3 import error
from tests.parts.scripted_server import DROP, Answer, ScriptedServer

if TYPE_CHECKING:
    from reconciler.stores import Store

pytestmark = pytest.mark.usefixtures("no_waiting")

CREDENTIALS = {"R2_ACCESS_KEY_ID": "the-key", "R2_SECRET_ACCESS_KEY": "the-secret"}
KEY = "_mirror/index.json"
WRITTEN = datetime(2026, 1, 26, 12, 0, 0, tzinfo=UTC)
OBJECT = Answer(
    headers={
        "ETag": '"e"',
        "Content-Type": "application/json",
        "Cache-Control": "no-cache",
        "Last-Modified": format_datetime(WRITTEN, usegmt=True),
    },
    body=b"{}",
)


@pytest.fixture
def boto3_opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The buckets that were opened with boto3."""
    names: list[str] = []
    really = store.open_bucket

    def opened(server: Server, bucket: str, *rest: Any) -> store.S3Store:
        names.append(bucket)
        return really(server, bucket, *rest)

    monkeypatch.setattr(store, "open_bucket", opened)
    return names


def opened(server: ScriptedServer) -> Store:
    return open_bucket(Server("s3", server.url, "auto"), "bucket", CREDENTIALS, PART_WORKERS)


def test_an_object_is_read_and_a_missing_one_known_without_boto3(
    server: ScriptedServer, boto3_opened: list[str]
) -> None:
    server.script.extend([OBJECT, error(404, "NoSuchKey")])
    bucket = opened(server)
    found = bucket.get(KEY)
    assert found
    assert (found.body, found.etag, found.headers) == (b"{}", '"e"', Headers("application/json", "no-cache"))
    assert found.age == (found.now - WRITTEN).total_seconds()
    assert bucket.get("_mirror/lock.json") is None
    assert boto3_opened == []
    assert [asked.path for asked in server.asked] == ["/bucket/_mirror/index.json", "/bucket/_mirror/lock.json"]


def test_boto3_would_read_the_same(server: ScriptedServer) -> None:
    server.otherwise = lambda _: OBJECT
    late, early = opened(server), store.open_bucket(Server("s3", server.url, "auto"), "bucket", CREDENTIALS, 1)
    one, other = late.get(KEY), early.get(KEY)
    assert one
    assert other
    assert one == replace(other, now=one.now, age=one.age)
    assert one.age == pytest.approx(other.age, abs=60)
    assert late.name == early.name


UNCLEAR = {
    "no answer": DROP,
    "half an answer": Answer(headers={"ETag": '"e"'}, body=b"{}", cut=1),
    "busy": error(503, "SlowDown"),
    "no ETag": Answer(body=b"{}"),
    "a web page": Answer(headers={"ETag": '"e"'}, body=b"<!DOCTYPE html><p>Sign in</p>"),
    "encoded": Answer(headers={"ETag": '"e"', "Content-Encoding": "br"}, body=b"{}"),
    "another 404": Answer(404),
    "a redirect": Answer(307, {"Location": "http://127.0.0.1:1/"}),
}


@pytest.mark.parametrize("answer", UNCLEAR.values(), ids=UNCLEAR)
def test_what_is_unclear_is_asked_again_with_boto3(
    answer: Answer, server: ScriptedServer, boto3_opened: list[str]
) -> None:
    server.script.extend([answer, OBJECT, OBJECT])
    bucket = opened(server)
    for number in (2, 3):
        found = bucket.get(KEY)
        assert found
        assert found.body == b"{}"
        assert len(server.asked) == number, "once boto3 is there, it alone is asked"
    assert boto3_opened == ["bucket"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (error(403, "AccessDenied"), "AccessDenied"),
        (error(404, "NoSuchBucket"), "there is no such bucket"),
        (Answer(headers={"ETag": '"e"'}, body=b"<html>"), "a web page came in the place of an answer of S3"),
    ],
)
def test_errors_are_those_of_boto3(answer: Answer, words: str, server: ScriptedServer) -> None:
    server.otherwise = lambda _: answer
    with pytest.raises(StoreError, match=words):
        opened(server).get(KEY)


def test_all_but_reading_small_objects_is_done_by_boto3(server: ScriptedServer, boto3_opened: list[str]) -> None:
    bucket = opened(server)
    assert boto3_opened == []
    assert bucket.put("v2/_ping", b"{}", JSON_HEADERS) == '"e"'
    assert bucket.size("v2/_ping") == 0
    assert boto3_opened == ["bucket"]


@pytest.mark.parametrize(
    ("there", "environ", "proxy"),
    [
        (Server("s3", None, "eu-central-1"), CREDENTIALS, ""),
        (Server("s3", "http://127.0.0.1:1", None), CREDENTIALS, ""),
        (Server("s3", "http://127.0.0.1:1", "auto"), {}, ""),
        (Server("s3", "http://127.0.0.1:1", "auto"), CREDENTIALS, "http://127.0.0.1:2"),
        (Server("s3", "http://127.0.0.1:1", "auto"), {**CREDENTIALS, "R2_SECRET_ACCESS_KEY": "a\nb"}, ""),
    ],
)
def test_boto3_finds_what_is_not_configured(
    there: Server, environ: dict[str, str], proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
    assert not isinstance(open_bucket(there, "bucket", environ), LateStore)


@pytest.mark.parametrize(
    ("url", "environ", "kind"),
    [
        ("http://127.0.0.1:1", {"R2_ACCESS_KEY_ID": "the-key"}, StoreDenied),
        ("http:// 127.0.0.1", CREDENTIALS, StoreError),
        ("127.0.0.1:9000", CREDENTIALS, StoreError),
    ],
)
def test_settings_that_cannot_be_right_are_errors_before_anything_is_read(
    url: str, environ: dict[str, str], kind: type[StoreError]
) -> None:
    with pytest.raises(kind):
        open_bucket(Server("s3", url, "auto"), "bucket", environ)


def test_credentials_are_in_no_error_and_no_repr(server: ScriptedServer) -> None:
    reader = Reader(f"http://127.0.0.1:{free_port()}/bucket", "auto", "the-key", "the-secret")
    assert "the-secret" not in repr(reader)
    with pytest.raises(Exception) as caught:  # noqa: PT011 whatever it is
        reader.get(KEY)
    assert "the-secret" not in repr(caught.value) + repr(caught.value.__cause__)


@given(
    st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1),
    st.sampled_from(["http://127.0.0.1:9000", "https://s3.example", "https://s3.example/base"]),
    st.lists(st.sampled_from(["a", "%3A", "~", "-", "_", "."]), min_size=1),
    st.datetimes(min_value=WRITTEN.replace(tzinfo=None), timezones=st.just(UTC)),
)
def test_signatures_are_those_of_botocore(secret: str, server: str, path: list[str], now: datetime) -> None:
    url = f"{server}/bucket/{''.join(path)}"
    credentials = cast("Any", SimpleNamespace(access_key="the-key", secret_key=secret, token=None))
    request = AWSRequest("GET", url)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("botocore.auth.get_current_datetime", lambda: now)
        S3SigV4Auth(credentials, "s3", "auto").add_auth(request)
    ours = signed(url, "auto", "the-key", secret, now)
    assert ours["Authorization"] == request.headers["Authorization"]
