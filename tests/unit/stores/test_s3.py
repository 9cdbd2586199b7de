"""Servers that resemble S3: what they refuse, leave out or invent, and the behavior and errors then."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import ConditionsRefused, StoreDenied, StoreError, StoreUnreachable
from reconciler.http.clock import header_time
from reconciler.oci.spec import Digest
from reconciler.stores import Absent, Matches, Store, parts, unfinished
from reconciler.stores.parts import MIB
from reconciler.stores.s3 import contact, multipart, pages, patience
from reconciler.stores.s3.opening import PART_WORKERS
from reconciler.stores.s3.patience import ATTEMPTS
from reconciler.stores.s3.server import Server
from reconciler.stores.s3.store import open_bucket
from reconciler.target.layout import BLOB_HEADERS, JSON_HEADERS
from tests.parts.certificates import certificate
from tests.parts.process import free_port
from tests.parts.scripted_s3 import error, start_scripted_s3
from tests.parts.scripted_server import DROP, Answer, Asked, ScriptedServer

if TYPE_CHECKING:
    from reconciler.stores import Condition

pytestmark = pytest.mark.usefixtures("no_waiting")

NOON = datetime(2026, 11, 26, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def store(server: ScriptedServer) -> Store:
    return opened(server.url)


def opened(url: str) -> Store:
    environ = {"R2_ACCESS_KEY_ID": "the-key", "R2_SECRET_ACCESS_KEY": "the-secret"}
    return open_bucket(Server("s3", url, "auto"), "bucket", environ, PART_WORKERS)


def upload(store: Store, size: int) -> None:
    chunks = (b"x" * MIB for _ in range(size // MIB))
    store.upload("blob", chunks, size, Digest.of(b"", "sha512"), BLOB_HEADERS)


# Removing.


def test_what_is_removed_goes_with_the_checksum_that_every_server_takes(store: Store, server: ScriptedServer) -> None:
    server.script.append(Answer(body=b"<DeleteResult/>"))
    store.delete(["v2/a", "v2/b"])
    [asked] = server.asked
    assert asked.headers["content-md5"] == base64.b64encode(hashlib.md5(asked.body).digest()).decode()
    assert not [name for name in asked.headers if name.startswith("x-amz-checksum")]
    assert asked.headers["x-amz-content-sha256"] == hashlib.sha256(asked.body).hexdigest()


@pytest.mark.parametrize(
    "refusal", [error(400, "MissingContentMD5"), error(405, "MethodNotAllowed"), error(501, "NotImplemented")], ids=repr
)
def test_a_server_that_removes_only_one_at_a_time_is_asked_so(
    store: Store, server: ScriptedServer, refusal: Answer
) -> None:
    there = {"/bucket/v2/a", "/bucket/v2/b"}

    def answer(asked: Asked) -> Answer:
        if asked.method == "POST":
            return refusal
        if asked.path not in there:
            return error(404, "NoSuchKey")
        there.remove(asked.path)
        return Answer(204)

    server.otherwise = answer
    store.delete(["v2/a", "v2/gone", "v2/b"])
    assert there == set()


def test_what_cannot_be_removed_one_by_one_is_named(store: Store, server: ScriptedServer) -> None:
    def answer(asked: Asked) -> Answer:
        if asked.method == "POST":
            return error(501, "NotImplemented")
        return error(409, "ObjectLocked") if asked.path.endswith("b") else Answer(204)

    server.otherwise = answer
    with pytest.raises(StoreError, match=r"s3://bucket/v2/b: not deleted: ObjectLocked: scripted; 1 of 2 keys"):
        store.delete(["v2/a", "v2/b"])
    server.otherwise = lambda asked: error(501 if asked.method == "POST" else 403, "AccessDenied")
    with pytest.raises(StoreDenied, match="may not do this"):
        store.delete(["v2/a", "v2/b"])


def test_a_bucket_that_is_not_there_is_not_asked_for_each_key(store: Store, server: ScriptedServer) -> None:
    server.otherwise = lambda _: error(404, "NoSuchBucket")
    with pytest.raises(StoreError, match="there is no such bucket"):
        store.delete(["v2/a", "v2/b"])
    assert server.methods() == ["POST"]


# Conditions.


@pytest.mark.parametrize("condition", [Absent(), Matches('"e"')])
@pytest.mark.parametrize("answer", [error(501, "NotImplemented"), error(400, "NotImplemented")], ids=repr)
def test_a_server_without_conditional_writes_is_told_from_others(
    store: Store, server: ScriptedServer, condition: Condition, answer: Answer
) -> None:
    server.otherwise = lambda _: answer
    with pytest.raises(ConditionsRefused, match=r"no conditional writes .*Cloudflare R2, Amazon S3"):
        store.put("lock", b"x", JSON_HEADERS, condition)
    assert len(server.asked) == 1
    with pytest.raises(StoreError, match=r"NotImplemented: scripted$") as raised:
        store.put("v2/_ping", b"x", JSON_HEADERS)
    assert not isinstance(raised.value, ConditionsRefused)


# Times.


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("Thu, 26 Nov 2026 12:00:00 GMT", NOON),
        ("Thu, 26 Nov 2026 12:00:00 GMT, Thu, 26 Nov 2026 13:00:00 GMT", NOON),
        ("Thu, 26 Nov 2026 12:00:00 GMT,Thu, 26 Nov 2026 13:00:00 GMT", NOON),
        ("Thursday, 26-Nov-26 12:00:00 GMT, Thursday, 26-Nov-26 13:00:00 GMT", NOON),
        ("Thu, 26 Nov 2026 07:00:00 -0500", NOON),
        ("26 Nov 2026 12:00:00 +0000", NOON),
        ("Thu, 26 Nov 2026 12:00:00", None),
        ("Thu, 26 Nov 2026 12:00:00 -0000", None),
        ("Thu Nov 26 12:00:00 2026, Thu Nov 26 12:00:00 2026", None),
        ("Fri, 31 Dec 9999 23:30:00 -0100", None),
        ("Thu, 26 Nov 2026 99:00:00 GMT", None),
        ("yesterday", None),
        (",", None),
        ("", None),
    ],
)
def test_the_time_of_a_header(text: str, time: datetime | None) -> None:
    assert header_time(text) == time


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Tokyo"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Puts this machine into a time zone."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize("twice", ["Date", "Last-Modified"])
def test_an_age_does_not_depend_on_the_time_zone(store: Store, server: ScriptedServer, twice: str) -> None:
    """The tests' server sends a Date of its own, so that there are two of them here."""
    now = datetime.now(UTC)
    dates = {"Date": now, "Last-Modified": now - timedelta(seconds=50)}
    headers = {name: format_datetime(date, usegmt=True) for name, date in dates.items()}
    headers[twice] = f"{headers[twice]}, {headers[twice]}"
    server.script.append(Answer(headers={"ETag": '"e"', **headers}, body=b"{}"))
    found = store.get("_mirror/lock.json")
    assert found is not None
    assert 45 < found.age < 55


@pytest.mark.parametrize("modified", ["yesterday", "Thu, 26 Nov 2026 12:00:00"])
def test_a_time_that_says_nothing_makes_an_object_new(store: Store, server: ScriptedServer, modified: str) -> None:
    server.script.append(Answer(headers={"ETag": '"e"', "Last-Modified": modified}, body=b"{}"))
    found = store.get("_mirror/lock.json")
    assert found is not None
    assert found.age == 0


# Answers that say too little.


def begin_or_take_a_part(asked: Asked) -> Answer:
    if asked.method == "POST":
        return Answer(body=b"<InitiateMultipartUploadResult><UploadId>U</UploadId></InitiateMultipartUploadResult>")
    return Answer(204) if asked.method == "DELETE" else Answer(headers={"ETag": '"part"'})


def listed(*rows: tuple[str, int], token: str = "") -> Answer:
    contents = "".join(f"<Contents><Key>{key}</Key><Size>{size}</Size></Contents>" for key, size in rows)
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    truncated = f"<IsTruncated>{'true' if token else 'false'}</IsTruncated>"
    return Answer(body=f"<ListBucketResult>{truncated}{more}{contents}</ListBucketResult>".encode())


@pytest.mark.parametrize("completed", [Answer(), Answer(body=b"<CompleteMultipartUploadResult/>")], ids=repr)
@pytest.mark.parametrize("rows", [(), (("blob", 2 * MIB),), (("blob", MIB),)])
def test_an_upload_that_the_server_only_says_to_be_complete_is_looked_for(
    store: Store,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    completed: Answer,
    rows: tuple[tuple[str, int], ...],
) -> None:
    monkeypatch.setattr(parts, "PART_SIZE", MIB)

    def answer(asked: Asked) -> Answer:
        if asked.method == "GET":
            return listed(*rows)
        return completed if asked.method == "POST" and "uploadId" in asked.path else begin_or_take_a_part(asked)

    server.otherwise = answer
    if rows == (("blob", 2 * MIB),):
        upload(store, 2 * MIB)
    else:
        with pytest.raises(StoreError, match=r"s3://bucket/blob: the server answered 200 .* has no object of 2097152"):
            upload(store, 2 * MIB)
        assert server.methods()[-1] == "DELETE", "what it has of it is given up"


@pytest.mark.parametrize(("size", "is_there"), [(5, True), (4, False)])
def test_a_copy_that_the_server_only_says_to_be_done_is_looked_for(
    store: Store, server: ScriptedServer, size: int, is_there: bool
) -> None:
    server.otherwise = lambda asked: listed(("v2/b/x", size)) if asked.method == "GET" else Answer()
    assert store.copy("v2/a/x", "v2/b/x", 5, BLOB_HEADERS) is is_there


def test_a_large_copy_that_the_server_only_says_to_be_done_is_given_up(store: Store, server: ScriptedServer) -> None:
    server.otherwise = lambda asked: Answer() if asked.method == "PUT" else begin_or_take_a_part(asked)
    assert not store.copy("v2/a/x", "v2/b/x", 3 * multipart.COPY_PART, BLOB_HEADERS)
    assert server.methods()[-1] == "DELETE"


# Listings without end.


def test_a_listing_that_goes_round_in_a_circle_comes_to_an_end(store: Store, server: ScriptedServer) -> None:
    server.otherwise = lambda _: listed(("v2/a", 1), token="again")
    with pytest.raises(StoreError, match=r"s3://bucket/v2/: the server sent the same page of a listing twice"):
        list(store.list("v2/"))
    assert len(server.asked) == 2


def test_a_listing_with_new_tokens_for_the_same_page_comes_to_an_end(store: Store, server: ScriptedServer) -> None:
    server.otherwise = lambda _: listed(("v2/a", 1), ("v2/b", 1), token=str(len(server.asked)))
    with pytest.raises(StoreError, match="the same page of a listing twice"):
        list(store.list("v2/"))


def test_a_listing_of_empty_pages_comes_to_an_end(
    store: Store, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MAX_EMPTY", 3)
    server.script.extend([listed(token="1"), listed(token="2"), listed(("v2/a", 1))])
    assert [row.key for row in store.list("v2/")] == ["v2/a"], "some servers send an empty page"
    server.otherwise = lambda _: listed(token=str(len(server.asked)))
    with pytest.raises(StoreError, match="4 empty pages"):
        list(store.list("v2/"))


def test_a_listing_of_uploads_that_goes_round_in_a_circle_comes_to_an_end(store: Store, server: ScriptedServer) -> None:
    body = (
        b"<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>"
        b"<NextUploadIdMarker>u</NextUploadIdMarker></ListMultipartUploadsResult>"
    )
    server.otherwise = lambda _: Answer(body=body)
    with pytest.raises(StoreError, match="the same page of a listing twice"):
        list(unfinished(store, "v2/"))


# Redirects and web pages.


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_and_its_place_is_named(store: Store, server: ScriptedServer, status: int) -> None:
    to = "https://user:secret@store.example:9000/bucket/_ping?X-Amz-Signature=abc"
    server.otherwise = lambda _: Answer(status, {"Location": to})
    advice = re.escape("a redirect to https://store.example:9000, which is not followed; if that is the store, write ")
    for ask in (lambda: store.get("_ping"), lambda: list(store.list("v2/")), lambda: store.size("x")):
        server.asked.clear()
        with pytest.raises(StoreError, match=f"{advice}endpoint_url: https://store.example:9000$"):
            ask()
        assert len(server.asked) == 1


def test_a_redirect_to_nowhere_is_an_error(store: Store, server: ScriptedServer) -> None:
    server.otherwise = lambda _: Answer(302)
    with pytest.raises(StoreError, match="302, a redirect, which is not followed; check the endpoint"):
        store.get("_ping")


PAGE = Answer(headers={"ETag": '"e"', "Content-Type": "text/html"}, body=b"\n<!DOCTYPE html><title>Sign in</title>")


def test_a_web_page_is_neither_an_object_nor_a_listing_nor_a_success(store: Store, server: ScriptedServer) -> None:
    server.otherwise = lambda _: PAGE
    words = "a web page came in the place of an answer of S3 from http.*whether the network wants you to sign in"
    with pytest.raises(StoreError, match=f"s3://bucket/_mirror/index.json: {words}"):
        store.get("_mirror/index.json")
    with pytest.raises(StoreError, match=words):
        list(store.list("v2/"))
    with pytest.raises(StoreError, match=words):
        store.put("v2/_ping", b"{}", JSON_HEADERS)
    with pytest.raises(StoreError, match=words):
        store.delete(["v2/a"])
    assert len(server.asked) == 4


def test_the_page_of_the_catalog_is_an_object(store: Store, server: ScriptedServer) -> None:
    server.otherwise = lambda _: PAGE
    found = store.get("index.html")
    assert found is not None
    assert found.body == PAGE.body


# The first answer.


def test_nothing_listening_is_said_at_once_and_tried_again_once_there_was_an_answer() -> None:
    with start_scripted_s3() as server:
        server.script.append(Answer(headers={"ETag": '"e"', "Connection": "close"}))
        store = opened(server.url)
        store.put("v2/_ping", b"{}", JSON_HEADERS)
    with pytest.raises(StoreUnreachable, match=f"no answer after {ATTEMPTS} attempts: .*nothing listens"):
        store.get("_ping")
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(StoreUnreachable, match=f'no answer: .*"{url}/bucket/_ping"; nothing listens at this address'):
        opened(url).get("_ping")


def test_an_unknown_host_name_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def unknown(host: str, *_: object, **__: object) -> None:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(StoreUnreachable, match=r"no answer: .*its name cannot be looked up"):
        opened("http://nowhere.invalid").get("_ping")
    assert len(asked) == 1


def test_a_port_that_speaks_no_tls_is_said_at_once(server: ScriptedServer) -> None:
    with pytest.raises(StoreUnreachable, match=r"no answer: .*does not speak TLS; write http://"):
        opened(server.url.replace("http://", "https://")).get("_ping")


def test_a_certificate_that_is_not_trusted_is_said_at_once(tmp_path: Path) -> None:
    with start_scripted_s3(certificate(tmp_path, "own")) as server:
        words = r"no answer: .*its certificate is not trusted; .*AWS_CA_BUNDLE"
        with pytest.raises(StoreUnreachable, match=words):
            opened(server.url).get("_ping")
        assert server.asked == []


def test_a_certificate_that_is_not_trusted_is_said_at_once_at_any_time() -> None:
    known = contact.Contact("s3://bucket", 60)
    known.heard()
    try:
        raise ssl.SSLCertVerificationError(1, "self-signed certificate")
    except ssl.SSLError as inner:
        outer = OSError("SSL validation failed")
        outer.__cause__ = inner
    assert known.is_hopeless(outer, 1)
    assert not known.is_hopeless(ConnectionRefusedError(), 1)


@contextlib.contextmanager
def mute() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_server_that_never_answers_is_given_up_and_meanwhile_that_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(patience, "READ_TIMEOUT", 0.5)
    monkeypatch.setattr(patience, "FIRST_ANSWER", 0.5)
    monkeypatch.setattr(contact, "TELL_AFTER", 0.1)
    no_answer = pytest.raises(StoreUnreachable, match=r"no answer within 0 s: .*check the network and the endpoint")
    with mute() as url, caplog.at_level(logging.WARNING, "reconciler"), no_answer:
        store = opened(url)
        started = time.monotonic()
        store.get("_ping")
    assert 0.5 <= time.monotonic() - started < 0.5 * ATTEMPTS
    assert [record.getMessage() for record in caplog.records] == [
        f"s3://bucket at {url} has not answered for 0 s; its first answer is waited for 0 s in all"
    ]


def test_a_server_that_answers_is_not_complained_about(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    before = set(threading.enumerate())
    store = opened(server.url)
    server.script.append(DROP)
    store.put("v2/_ping", b"{}", JSON_HEADERS)
    assert len(server.asked) == 2, "a connection that breaks is tried again before the first answer as well"
    store.put("v2/_ping", b"{}", JSON_HEADERS)
    timers = [one for one in set(threading.enumerate()) - before if isinstance(one, threading.Timer)]
    for timer in timers:
        timer.join(timeout=contact.TELL_AFTER / 2)
    assert not any(timer.is_alive() for timer in timers), "they are cancelled, and do not wait for their time"
    assert caplog.records == []
