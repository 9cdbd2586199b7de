"""What is special about buckets: headers, wire format, retries, credentials, unfinished uploads, memory."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import subprocess
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import certifi
import pytest
from tenacity import wait_none

from reconciler.errors import PreconditionFailed, StoreDenied, StoreError, StoreUnreachable
from reconciler.oci.spec import Digest
from reconciler.stores import Absent, Listed, Matches, Store, parts
from reconciler.stores.buckets import R2, S3
from reconciler.stores.headers import Headers
from reconciler.stores.parts import MAX_PARTS, MIB, PART_SIZE, part_size
from reconciler.stores.s3 import buffers, patience
from reconciler.stores.s3.buffers import Buffers
from reconciler.stores.s3.opening import PART_WORKERS
from reconciler.stores.s3.patience import ATTEMPTS
from reconciler.stores.s3.server import Server
from reconciler.stores.s3.store import open_bucket
from reconciler.target.layout import BLOB_HEADERS, JSON_HEADERS
from tests.parts.http_server import Handler, serving
from tests.parts.process import find_program
from tests.parts.scripted_s3 import error, start_scripted_s3
from tests.parts.scripted_server import DROP, Answer, Asked, ScriptedServer

if TYPE_CHECKING:
    from tests.parts.seaweedfs import S3Bucket

CREDENTIALS = {"R2_ACCESS_KEY_ID": "the-key", "R2_SECRET_ACCESS_KEY": "the-secret"}
MANIFEST_HEADERS = Headers("application/vnd.oci.image.manifest.v1+json", "no-cache, no-transform")


@pytest.fixture(params=["seaweedfs", "r2"])
def bucket(request: pytest.FixtureRequest) -> S3Bucket:
    if request.param == "seaweedfs":
        found: S3Bucket = request.getfixturevalue("s3_bucket")
        return found
    public, _ = request.getfixturevalue("r2_buckets")
    return public  # type: ignore[no-any-return]  # getfixturevalue is untyped


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow each other at once."""
    monkeypatch.setattr(patience, "wait_random_exponential", lambda **_: wait_none())


@pytest.fixture
def server(no_waiting: None) -> Iterator[ScriptedServer]:
    with start_scripted_s3() as running:
        yield running


@pytest.fixture
def scripted(server: ScriptedServer) -> Store:
    """A store whose server follows a script."""
    return opened(server.url, "bucket", CREDENTIALS)


def opened(endpoint_url: str, bucket: str, environ: dict[str, str]) -> Store:
    return open_bucket(Server("s3", endpoint_url, "auto"), bucket, environ, PART_WORKERS)


def upload(store: Store, body: bytes, headers: Headers = BLOB_HEADERS, key: str = "blob") -> None:
    chunks = (body[start : start + MIB] for start in range(0, len(body), MIB))
    store.upload(key, chunks, len(body), Digest.of(body), headers)


# Real servers.


@pytest.mark.parametrize("size", [3, PART_SIZE + 1])
def test_headers_are_stored(bucket: S3Bucket, size: int) -> None:
    store = opened(bucket.endpoint_url, bucket.bucket, bucket.environ())
    store.put("tag", b"{}", MANIFEST_HEADERS)
    upload(store, b"x" * size)
    client = bucket.client()
    tag = client.head_object(Bucket=bucket.bucket, Key="tag")
    assert (tag["ContentType"], tag["CacheControl"]) == (MANIFEST_HEADERS.content_type, MANIFEST_HEADERS.cache_control)
    blob = client.head_object(Bucket=bucket.bucket, Key="blob")
    assert (blob["ContentType"], blob["CacheControl"]) == (BLOB_HEADERS.content_type, BLOB_HEADERS.cache_control)


def test_a_failed_upload_leaves_no_parts_behind(s3_bucket: S3Bucket) -> None:
    store = opened(s3_bucket.endpoint_url, s3_bucket.bucket, s3_bucket.environ())
    client = s3_bucket.client()

    def chunks() -> Iterator[bytes]:
        for _ in range(2 * PART_SIZE // MIB + 1):
            yield b"x" * MIB
        assert len(client.list_multipart_uploads(Bucket=s3_bucket.bucket)["Uploads"]) == 1
        raise ValueError("the digest is wrong")

    with pytest.raises(ValueError, match="the digest is wrong"):
        store.upload("blob", chunks(), 3 * PART_SIZE, Digest.of(b""), BLOB_HEADERS)
    assert "Uploads" not in client.list_multipart_uploads(Bucket=s3_bucket.bucket)


def test_the_server_checks_the_digest_of_a_blob(s3_bucket: S3Bucket, no_waiting: None) -> None:
    store = opened(s3_bucket.endpoint_url, s3_bucket.bucket, s3_bucket.environ())
    with pytest.raises(StoreError, match="BadDigest"):
        store.upload("blob", iter([b"abc"]), 3, Digest.of(b"xyz"), BLOB_HEADERS)
    assert s3_bucket.stored_keys() == []


def test_a_blob_may_be_named_by_its_sha512(bucket: S3Bucket) -> None:
    store = opened(bucket.endpoint_url, bucket.bucket, bucket.environ())
    store.upload("blob", iter([b"abc"]), 3, Digest.of(b"abc", "sha512"), BLOB_HEADERS)
    assert list(store.list("")) == [Listed("blob", 3)]


def test_a_wrong_secret_is_denied_and_not_shown(bucket: S3Bucket) -> None:
    store = opened(bucket.endpoint_url, bucket.bucket, {**bucket.environ(), "R2_SECRET_ACCESS_KEY": "hunter2"})
    with pytest.raises(StoreDenied, match=f"s3://{bucket.bucket}/_ping: .*(secret|credentials)") as raised:
        store.put("_ping", b"{}", JSON_HEADERS)
    assert "hunter2" not in f"{raised.value!r} {store!r} {vars(store)!r}"


def test_a_missing_bucket_is_named(r2_buckets: tuple[S3Bucket, S3Bucket]) -> None:
    # SeaweedFS makes a bucket that is missing.
    public, _ = r2_buckets
    store = opened(public.endpoint_url, "nowhere", public.environ())
    with pytest.raises(StoreError, match="s3://nowhere/_ping: there is no such bucket; create it"):
        store.put("_ping", b"{}", JSON_HEADERS)


def test_a_state_bucket_is_another_store(r2_buckets: tuple[S3Bucket, S3Bucket]) -> None:
    public, state = r2_buckets
    config = S3(public.bucket, "auto", public.endpoint_url, None, state.bucket)
    stores = config.open(public.environ())
    stores.public.put("v2/_ping", b"{}", JSON_HEADERS)
    stores.state.put("_mirror/index.json", b"{}", JSON_HEADERS)
    assert (public.stored_keys(), state.stored_keys()) == (["v2/_ping"], ["_mirror/index.json"])


# Credentials and endpoints.


def test_half_a_pair_of_credentials_is_refused() -> None:
    with pytest.raises(StoreDenied, match="R2_ACCESS_KEY_ID is set but R2_SECRET_ACCESS_KEY is not"):
        opened("http://127.0.0.1:1", "bucket", {"R2_ACCESS_KEY_ID": "the-key"})
    with pytest.raises(StoreDenied, match="R2_SECRET_ACCESS_KEY is set but R2_ACCESS_KEY_ID is not"):
        opened("http://127.0.0.1:1", "bucket", {"R2_SECRET_ACCESS_KEY": "the-secret", "R2_ACCESS_KEY_ID": ""})


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment in which boto3 finds nothing by itself."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.mark.usefixtures("no_aws")
def test_no_credentials_at_all_says_how_to_give_them(server: ScriptedServer) -> None:
    with pytest.raises(StoreDenied, match="set R2_ACCESS_KEY_ID and R2_SECRET_ACCESS_KEY, or give boto3 its own"):
        opened(server.url, "bucket", {}).get("_ping")
    assert server.asked == []


@pytest.mark.usefixtures("no_aws")
def test_boto3_s_own_credentials_are_used(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-boto3")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    opened(server.url, "bucket", {}).put("_ping", b"", JSON_HEADERS)
    assert "Credential=from-boto3/" in server.asked[0].headers["authorization"]


@pytest.mark.usefixtures("no_aws")
def test_a_profile_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "work")
    with pytest.raises(StoreDenied, match="work"):
        opened("http://127.0.0.1:1", "bucket", {})


def test_an_endpoint_that_is_not_a_url_is_refused() -> None:
    with pytest.raises(StoreError, match=r"s3://bucket: .*127"):
        opened("127.0.0.1", "bucket", CREDENTIALS)


@pytest.mark.parametrize(
    ("jurisdiction", "host"),
    [
        ("default", "acc.r2.cloudflarestorage.com"),
        ("eu", "acc.eu.r2.cloudflarestorage.com"),
        ("us", "acc.us.r2.cloudflarestorage.com"),
        ("fedramp-high", "acc.fedramp-high.r2.cloudflarestorage.com"),
    ],
)
def test_r2_s_endpoint(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, jurisdiction: str, host: str) -> None:
    server.otherwise = lambda _: Answer(403)
    monkeypatch.setenv("HTTPS_PROXY", server.url)
    monkeypatch.setenv("NO_PROXY", "")
    store = R2("acc", "cr-example", jurisdiction, None, None).open(CREDENTIALS).public
    assert store.name == "r2://cr-example"
    with pytest.raises(StoreUnreachable, match="r2://cr-example/_ping"):
        store.get("_ping")
    assert {asked.path for asked in server.asked} == {f"{host}:443"}


@pytest.mark.parametrize(
    ("no_proxy", "asked"), [("127.0.0.0/8", False), ("example.com", True)], ids=["a network", "another host"]
)
def test_a_proxy_is_asked_unless_its_network_is_exempt(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, no_proxy: str, asked: bool
) -> None:
    server.otherwise = lambda _: Answer(403)
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", no_proxy)
    with pytest.raises(StoreError):
        opened("http://127.0.0.1:9", "bucket", CREDENTIALS).get("x")
    assert bool(server.asked) == asked


def test_a_socks_proxy_which_botocore_cannot_use_is_named(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    server.otherwise = lambda _: Answer(404)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    assert opened(server.url, "bucket", CREDENTIALS).get("x") is None
    assert "socks5://127.0.0.1:9 in ALL_PROXY; it is asked directly" in caplog.text
    monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:9")
    with pytest.raises(StoreError, match=r"HTTP proxies only, .* socks5://127\.0\.0\.1:9"):
        opened(server.url, "bucket", CREDENTIALS)


def test_the_system_s_authorities_are_believed(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    system = tmp_path / "ca-certificates.crt"
    system.write_bytes(certificate.read_bytes() + Path(certifi.where()).read_bytes())
    monkeypatch.setattr("reconciler.http.trust.BUNDLES", (str(system),))
    with start_scripted_s3(certificate) as running:
        running.otherwise = lambda _: Answer(404)
        assert opened(running.url, "bucket", CREDENTIALS).get("x") is None


# The wire.


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 with its key, in one file."""
    openssl = find_program("openssl", "apt-get install openssl")
    file = tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(file), "-out", "-", *subject]
    made = subprocess.run(command, capture_output=True, check=True, text=True)
    file.write_text(file.read_text() + made.stdout)
    return file


@pytest.fixture
def https_server(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """Over plain http boto3 behaves otherwise, and hides what R2 refuses."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    with start_scripted_s3(certificate) as running:
        yield running


def assert_plain(asked: Asked) -> None:
    """Neither in pieces with a trailer nor announced beforehand; the server can check the body by the signature."""
    assert asked.headers["x-amz-content-sha256"] == hashlib.sha256(asked.body).hexdigest()
    hostile = {"expect", "transfer-encoding", "content-encoding", "x-amz-trailer", "x-amz-sdk-checksum-algorithm"}
    assert not hostile & asked.headers.keys()


def test_over_https_a_put_is_plain_signed_and_checksummed(https_server: ScriptedServer) -> None:
    store = opened(https_server.url, "bucket", CREDENTIALS)
    store.put("v2/_ping", b"{}", JSON_HEADERS, Absent())
    upload(store, b"abc", key="v2/app/blobs/sha256:0")
    ping, blob = https_server.asked
    for asked, body in ((ping, b"{}"), (blob, b"abc")):
        assert asked.body == body
        assert_plain(asked)
        assert asked.headers["x-amz-checksum-sha256"] == base64.b64encode(hashlib.sha256(body).digest()).decode()
    assert ping.headers["if-none-match"] == "*"
    assert ping.headers["content-type"] == "application/json"


@pytest.mark.usefixtures("small_parts")
def test_over_https_parts_and_blobs_of_other_digests_are_plain_and_signed(https_server: ScriptedServer) -> None:
    https_server.otherwise = multipart
    store = opened(https_server.url, "bucket", CREDENTIALS)
    upload(store, b"x" * (MIB + 1))
    store.upload("blob", iter([b"abc"]), 3, Digest.of(b"abc", "sha512"), BLOB_HEADERS)
    assert https_server.methods() == ["POST", "PUT", "PUT", "POST", "PUT"]
    for asked in https_server.asked:
        assert_plain(asked)


def test_an_etag_is_sent_back_as_it_came(scripted: Store, server: ScriptedServer) -> None:
    server.script.append(Answer(headers={"ETag": '"with-quotes-3"'}, body=b"1"))
    found = scripted.get("index")
    assert found is not None
    scripted.put("index", b"2", JSON_HEADERS, Matches(found.etag))
    assert server.asked[1].headers["if-match"] == '"with-quotes-3"'


# Retries.


@pytest.mark.parametrize(
    "trouble",
    [
        error(429, "TooManyRequests"),
        error(409, "ConditionalRequestConflict"),
        error(500, "InternalError"),
        error(503, "SlowDown"),
        Answer(502, {"Content-Type": "text/html"}, b"<html>bad gateway</html>"),
        DROP,
    ],
    ids=repr,
)
def test_what_may_pass_is_tried_again(scripted: Store, server: ScriptedServer, trouble: Answer) -> None:
    server.script.extend([trouble, trouble])
    assert scripted.put("_ping", b"{}", JSON_HEADERS) == '"e"'
    assert server.methods() == ["PUT"] * 3


def test_a_size_costs_a_head_and_what_its_answer_lacks_in_words_is_known_by_its_status(
    scripted: Store, server: ScriptedServer
) -> None:
    server.script.extend([Answer(503), Answer(200, {"ETag": '"e"'}), Answer(404), Answer(403)])
    assert scripted.size("_ping") == 0
    assert scripted.size("_ping") is None
    with pytest.raises(StoreDenied, match=r"s3://bucket/_ping: .*403"):
        scripted.size("_ping")
    assert server.methods() == ["HEAD"] * 4


def test_after_the_last_attempt_it_is_unreachable(scripted: Store, server: ScriptedServer) -> None:
    server.otherwise = lambda _: error(503, "SlowDown")
    with pytest.raises(StoreUnreachable, match=f"s3://bucket/_ping: .*503 SlowDown.*after {ATTEMPTS} attempts"):
        scripted.put("_ping", b"{}", JSON_HEADERS)
    assert len(server.asked) == ATTEMPTS


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (error(403, "AccessDenied"), StoreDenied),
        (error(403, "InvalidAccessKeyId"), StoreDenied),
        (error(401, "Unauthorized"), StoreDenied),
        (error(404, "NoSuchBucket"), StoreError),
        (error(400, "InvalidArgument"), StoreError),
        (error(501, "NotImplemented"), StoreError),
        (Answer(405), StoreError),
    ],
    ids=repr,
)
def test_what_will_not_pass_is_asked_once(
    scripted: Store, server: ScriptedServer, answer: Answer, expected: type[StoreError]
) -> None:
    server.otherwise = lambda _: answer
    with pytest.raises(StoreError) as raised:
        list(scripted.list(""))
    assert type(raised.value) is expected
    assert len(server.asked) == 1


def test_a_body_that_breaks_off_is_read_again(scripted: Store, server: ScriptedServer) -> None:
    whole = Answer(headers={"ETag": '"e"'}, body=b"0123456789")
    server.script.extend([Answer(whole.status, whole.headers, whole.body, cut=4), whole])
    found = scripted.get("index")
    assert found is not None
    assert found.body == whole.body


@pytest.mark.parametrize("missing", [error(412, "PreconditionFailed"), error(404, "NoSuchKey")], ids=repr)
def test_a_lost_condition_is_told_at_once(scripted: Store, server: ScriptedServer, missing: Answer) -> None:
    server.script.append(missing)
    with pytest.raises(PreconditionFailed):
        scripted.put("index", b"2", JSON_HEADERS, Matches('"1"'))
    assert server.methods() == ["PUT"]


@pytest.mark.parametrize("lost", [DROP, error(500, "InternalError"), error(429, "TooManyRequests")], ids=repr)
def test_a_write_whose_answer_was_lost_is_known_by_its_body(
    scripted: Store, server: ScriptedServer, lost: Answer
) -> None:
    ours = Answer(headers={"ETag": '"ours"'}, body=b"mine")
    server.script.extend([lost, error(412, "PreconditionFailed"), ours])
    assert scripted.put("lock", b"mine", JSON_HEADERS, Absent()) == '"ours"'
    assert server.methods() == ["PUT", "PUT", "GET"]


@pytest.mark.parametrize("there", [Answer(headers={"ETag": '"x"'}, body=b"theirs"), error(404, "NoSuchKey")], ids=repr)
def test_another_s_write_is_not_taken_for_ours(scripted: Store, server: ScriptedServer, there: Answer) -> None:
    server.script.extend([DROP, error(412, "PreconditionFailed"), there])
    with pytest.raises(PreconditionFailed):
        scripted.put("lock", b"mine", JSON_HEADERS, Absent())


def test_keys_that_are_not_deleted_are_reported(scripted: Store, server: ScriptedServer) -> None:
    refused = "<Error><Key>v2/a</Key><Code>AccessDenied</Code><Message>locked</Message></Error>"
    server.script.append(Answer(body=f"<DeleteResult>{refused}</DeleteResult>".encode()))
    with pytest.raises(StoreError, match=r"s3://bucket/v2/a: not deleted: AccessDenied: locked; 1 of 2 keys"):
        scripted.delete(["v2/a", "v2/b"])


# Multipart uploads.


def multipart(asked: Asked) -> Answer:
    """A server on which every part arrives."""
    if asked.method == "POST" and asked.path.endswith("?uploads"):
        return Answer(body=b"<InitiateMultipartUploadResult><UploadId>U</UploadId></InitiateMultipartUploadResult>")
    if asked.method == "POST":
        return Answer(body=b"<CompleteMultipartUploadResult><ETag>e-2</ETag></CompleteMultipartUploadResult>")
    return Answer(headers={"ETag": '"part"'})


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_SIZE", MIB)
    monkeypatch.setattr(buffers, "BUFFER_BYTES", 3 * MIB)


@pytest.mark.usefixtures("small_parts")
def test_parts_are_of_equal_size_and_in_order(server: ScriptedServer) -> None:
    server.otherwise = multipart
    body = b"".join(bytes([number]) * MIB for number in range(5)) + b"end"
    upload(opened(server.url, "bucket", CREDENTIALS), body)
    parts = sorted((asked for asked in server.asked if asked.method == "PUT"), key=lambda asked: asked.path)
    assert [len(part.body) for part in parts] == [MIB] * 5 + [3]
    assert b"".join(part.body for part in parts) == body
    assert not any("expect" in asked.headers for asked in server.asked)
    completed = server.asked[-1].body
    assert [completed.find(b"<PartNumber>%d<" % number) for number in range(1, 7)] == sorted(
        completed.find(b"<PartNumber>%d<" % number) for number in range(1, 7)
    )


@pytest.mark.usefixtures("small_parts")
def test_a_part_that_fails_ends_the_upload(server: ScriptedServer) -> None:
    def refuse_the_second(asked: Asked) -> Answer:
        return error(403, "AccessDenied") if "partNumber=2" in asked.path else multipart(asked)

    server.otherwise = refuse_the_second
    with pytest.raises(StoreDenied, match="s3://bucket/blob"):
        upload(opened(server.url, "bucket", CREDENTIALS), b"x" * 40 * MIB)
    assert server.asked[-1].method == "DELETE"
    assert server.methods().count("PUT") < 40
    assert not any(asked.method == "POST" and "uploadId" in asked.path for asked in server.asked)


@pytest.mark.usefixtures("small_parts")
def test_a_failing_abort_does_not_hide_the_first_error(server: ScriptedServer) -> None:
    def refuse(asked: Asked) -> Answer:
        return multipart(asked) if asked.method == "POST" else error(403, "AccessDenied")

    server.otherwise = refuse
    store = opened(server.url, "bucket", CREDENTIALS)
    with pytest.raises(ValueError, match="first"):
        store.upload("blob", _raising(ValueError("first")), 2 * MIB, Digest.of(b""), BLOB_HEADERS)


def _raising(failure: Exception) -> Iterator[bytes]:
    yield b"x"
    raise failure


@pytest.mark.parametrize(("size", "completed"), [(2 * MIB, True), (MIB, False)])
@pytest.mark.usefixtures("small_parts")
def test_a_completion_whose_answer_was_lost_is_known_by_the_object(
    server: ScriptedServer, *, size: int, completed: bool
) -> None:
    listing = (
        f"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>blob</Key><Size>{size}</Size></Contents>"
        "</ListBucketResult>"
    )
    completions = iter([error(500, "InternalError"), error(404, "NoSuchUpload")])

    def lose_the_first(asked: Asked) -> Answer:
        if asked.method == "POST" and "uploadId" in asked.path:
            return next(completions)
        return Answer(body=listing.encode()) if asked.method == "GET" else multipart(asked)

    server.otherwise = lose_the_first
    store = opened(server.url, "bucket", CREDENTIALS)
    if completed:
        upload(store, b"x" * 2 * MIB)
    else:
        with pytest.raises(StoreError, match="NoSuchUpload"):
            upload(store, b"x" * 2 * MIB)


def test_a_small_body_needs_no_more_memory_than_it_has_bytes(server: ScriptedServer) -> None:
    server.otherwise = lambda _: Answer(200, {"ETag": '"1"'})
    store = opened(server.url, "bucket", CREDENTIALS)
    upload(store, b"first")
    tracemalloc.start()
    try:
        upload(store, b"x" * 100_000)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


def test_what_is_kept_and_what_is_lent_stay_below_the_limit_together() -> None:
    tracemalloc.start()
    try:
        memory = Buffers(2 * PART_SIZE)
        with memory.taken(PART_SIZE), memory.taken(PART_SIZE):
            assert 2 * PART_SIZE <= tracemalloc.get_traced_memory()[0] < 2 * PART_SIZE + MIB
        tracemalloc.reset_peak()
        for size in (MIB, PART_SIZE + MIB, 2 * PART_SIZE):
            with memory.taken(size) as buffer:
                assert len(buffer) == size
                assert tracemalloc.get_traced_memory()[0] < 2 * PART_SIZE + MIB
            del buffer
        assert tracemalloc.get_traced_memory()[1] < 2 * PART_SIZE + MIB
    finally:
        tracemalloc.stop()


@pytest.mark.usefixtures("small_parts")
def test_uploads_together_hold_no_more_than_the_buffer(server: ScriptedServer) -> None:
    lock, arrived = threading.Lock(), threading.Event()
    held = most = 0

    def count(change: int) -> None:
        nonlocal held, most
        with lock:
            held += change
            most = max(most, held)
            if held >= buffers.BUFFER_BYTES:
                arrived.set()

    def slow(asked: Asked) -> Answer:
        if asked.method == "PUT":
            # Nothing is answered before the sources have been read as far as they ever will be.
            arrived.wait(10)
            arrived.set()
            count(-len(asked.body))
        return multipart(asked)

    def chunks(pieces: int) -> Iterator[bytes]:
        for _ in range(pieces):
            count(MIB // 4)
            yield b"x" * (MIB // 4)

    server.otherwise = slow
    store = opened(server.url, "bucket", CREDENTIALS)
    with ThreadPoolExecutor(5) as uploaders:
        pieces = [20, 20, 20, 4, 3]
        done = [
            uploaders.submit(
                store.upload, f"blob{number}", chunks(count), count * MIB // 4, Digest.of(b"", "sha512"), BLOB_HEADERS
            )
            for number, count in enumerate(pieces)
        ]
        for future in done:
            future.result()
    assert buffers.BUFFER_BYTES <= most <= buffers.BUFFER_BYTES + len(pieces) * MIB // 4, "and the first chunk of each"
    assert held == 0


@pytest.mark.usefixtures("small_parts")
def test_who_waits_for_a_turn_at_the_source_holds_no_buffer(server: ScriptedServer) -> None:
    """With fewer connections than buffers' takers, the one whose turn it is would wait for ever for its next buffer."""
    turn, over = threading.Semaphore(1), threading.Event()

    def chunks() -> Iterator[bytes]:
        while not turn.acquire(timeout=0.1):
            assert not over.is_set()
        with contextlib.ExitStack() as stack:
            stack.callback(turn.release)
            for _ in range(5):
                yield b"x" * MIB

    server.otherwise = multipart
    store = opened(server.url, "bucket", CREDENTIALS)
    uploads = 3 * buffers.BUFFER_BYTES // PART_SIZE
    with ThreadPoolExecutor(uploads) as uploaders:
        done = [
            uploaders.submit(store.upload, f"b{number}", chunks(), 5 * MIB, Digest.of(b"", "sha512"), BLOB_HEADERS)
            for number in range(uploads)
        ]
        waiting = wait(done, timeout=20).not_done
        over.set()
    assert not waiting


def test_huge_objects_get_larger_parts() -> None:
    for size in (PART_SIZE + 1, 160 * 1024 * MIB, 5 * 1024 * 1024 * MIB):
        each = part_size(size)
        assert -(-size // each) <= MAX_PARTS
        assert each % MIB == 0
        assert PART_SIZE <= each < 600 * MIB


COPIED = Answer(body=b'<CopyObjectResult><ETag>"e"</ETag></CopyObjectResult>')
COPIED_PART = Answer(body=b'<CopyPartResult><ETag>"p"</ETag></CopyPartResult>')
ONCE_MORE = Answer(body=b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>later</Message></Error>")


@pytest.mark.usefixtures("no_waiting")
def test_a_copy_says_its_own_headers_and_is_tried_again(server: ScriptedServer) -> None:
    """S3 answers 200 before it has copied, and says in the body that it failed."""
    server.script.extend([DROP, error(503, "SlowDown"), ONCE_MORE, COPIED])
    checks: list[int] = []
    store = opened(server.url, "bucket", CREDENTIALS).guarded(lambda: checks.append(len(server.asked)))
    assert store.copy("v2/a/x", "v2/b/x", 5, BLOB_HEADERS)
    assert checks == [0, 1, 2, 3]
    sent = server.asked[-1].headers
    assert (sent["x-amz-copy-source"], sent["x-amz-metadata-directive"]) == ("bucket/v2/a/x", "REPLACE")
    assert (sent["content-type"], sent["cache-control"]) == (BLOB_HEADERS.content_type, BLOB_HEADERS.cache_control)


def test_a_large_copy_is_made_of_equal_parts(server: ScriptedServer) -> None:
    ranges = []

    def answer(asked: Asked) -> Answer:
        if asked.method == "PUT":
            ranges.append(asked.headers["x-amz-copy-source-range"])
            return COPIED_PART
        return multipart(asked)

    server.otherwise = answer
    gib = 1024 * MIB
    assert opened(server.url, "bucket", CREDENTIALS).copy("v2/a/x", "v2/b/x", 5 * gib + 1, BLOB_HEADERS)
    wanted = [(start * gib, min((start + 1) * gib, 5 * gib + 1) - 1) for start in range(6)]
    assert sorted(ranges) == sorted(f"bytes={first}-{last}" for first, last in wanted)


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (error(404, "NoSuchKey"), None),
        (error(501, "NotImplemented"), None),
        (error(403, "AccessDenied"), "may not do this"),
    ],
)
def test_a_large_copy_that_fails_is_given_up(server: ScriptedServer, answer: Answer, words: str | None) -> None:
    server.otherwise = lambda asked: answer if asked.method == "PUT" else multipart(asked)
    store = opened(server.url, "bucket", CREDENTIALS)
    if words:
        with pytest.raises(StoreDenied, match=words):
            store.copy("v2/a/x", "v2/b/x", 2000 * MIB, BLOB_HEADERS)
    else:
        assert not store.copy("v2/a/x", "v2/b/x", 2000 * MIB, BLOB_HEADERS)
    assert server.methods()[-1] == "DELETE"


@pytest.mark.usefixtures("no_aws")
def test_a_profile_that_takes_on_a_role_finds_the_service_for_that(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """boto3 looks for more services than S3 where credentials come from one."""
    (tmp_path / "config").write_text(
        "[profile work]\nrole_arn = arn:aws:iam::123456789012:role/mirror\nsource_profile = base\nregion = eu-west-1\n"
        "[profile base]\naws_access_key_id = a\naws_secret_access_key = b\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "work")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
    with pytest.raises(StoreError, match="cannot be understood"):
        opened(server.url, "bucket", {}).get("_ping")
    assert "/sts/" in server.asked[0].headers["authorization"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "lacks 'IsTruncated'"),
        (b"<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>", "lacks 'Size'"),
        (b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>", "lacks 'NextContinuationToken'"),
        (b"<html>Sign in to the guests' network", "try again later"),
    ],
)
def test_a_listing_that_is_none_is_an_error_and_not_an_empty_one(
    body: bytes, words: str, server: ScriptedServer
) -> None:
    """A proxy's page, say, or one that breaks off."""
    server.otherwise = lambda _: Answer(200, {"Content-Type": "application/xml"}, body)
    with pytest.raises(StoreError, match=f"s3://bucket/v2/: .*{words}"):
        list(opened(server.url, "bucket", CREDENTIALS).list("v2/"))


def test_a_stored_object_without_its_etag_is_an_error_of_ours(server: ScriptedServer) -> None:
    server.otherwise = lambda _: Answer(200)
    store = opened(server.url, "bucket", CREDENTIALS)
    lacks = r"s3://bucket/_ping: .*lacks 'ETag'; check the endpoint"
    with pytest.raises(StoreError, match=lacks):
        store.get("_ping")
    with pytest.raises(StoreError, match=lacks):
        store.put("_ping", b"{}", JSON_HEADERS)


def test_the_time_of_an_answer_is_the_server_s() -> None:
    class Past(Handler):
        def date_time_string(self, timestamp: float | None = None) -> str:
            return "Fri, 20 Nov 2020 10:00:00 GMT"

        def do_GET(self) -> None:  # noqa: N802 the name that http.server calls
            self.send_response(200)
            for name, value in {"ETag": '"e"', "Last-Modified": "Fri, 20 Nov 2020 09:59:00 GMT"}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with serving(Past) as url:
        stored = opened(url, "bucket", CREDENTIALS).get("_ping")
    assert stored is not None
    assert (stored.now, stored.age) == (datetime(2020, 11, 20, 10, tzinfo=UTC), 60)


def test_a_size_that_is_never_stated_is_an_error_of_ours(server: ScriptedServer) -> None:
    server.otherwise = lambda _: Answer(200, {"Connection": "close"}, has_length=False)
    with pytest.raises(StoreError, match=r"s3://bucket/_ping: .*lacks 'ContentLength'"):
        opened(server.url, "bucket", CREDENTIALS).size("_ping")
