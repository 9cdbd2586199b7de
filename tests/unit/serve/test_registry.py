"""The registry of `serve`: what it answers, what it never exposes, and what slow clients cost it."""

from __future__ import annotations

import gc
import json
import logging
import re
import threading
import warnings
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import StoreDenied, StoreUnreachable, UsageError
from reconciler.oci.spec import OCI_INDEX, OCI_MANIFEST, Digest
from reconciler.serve.lists import an_image
from reconciler.serve.server import listen
from reconciler.target.layout import (
    BLOB_HEADERS,
    CATALOG,
    LOCK,
    MIRROR_INDEX,
    PAGE,
    blob_key,
    manifest_headers,
    manifest_key,
    parse_key,
    referrers_key,
    tags_key,
)
from tests.memory import MemoryStore
from tests.parts.images import image, index
from tests.parts.serving import LARGE_SIZE, Served, Watched, error_of, serving, slow_client, wait_until

if TYPE_CHECKING:
    from reconciler.stores import Stored

SECRET = b"nobody is to see this"
APP = index(image({"a": "1"}), image({"a": "2"}, platform="linux/arm64"))
BLOB = bytes(range(256)) * 5
DIGEST = Digest.of(BLOB)
NONE = Digest.of(b"nothing has this digest")


def objects() -> dict[str, bytes]:
    """A bucket with one image under two tags, a blob, referrers, a catalog page, and things that nobody is to see."""
    subject = Digest.parse(APP.digest)
    kept = {blob_key("team/app", Digest.parse(digest)): body for digest, body in APP.all_blobs().items()}
    kept |= {manifest_key("team/app", Digest.parse(one.digest)): one.body for one in APP.manifests()}
    entries = [
        {"mediaType": OCI_MANIFEST, "digest": str(DIGEST), "size": 1, "artifactType": f"application/{kind}"}
        for kind in ("sbom", "signature")
    ]
    return kept | {
        blob_key("team/app", DIGEST): BLOB,
        blob_key("team/app", Digest.of(b"")): b"",
        manifest_key("team/app", "1.0"): APP.body,
        manifest_key("team/app", "latest"): APP.body,
        tags_key("team/app"): b'{"name":"team/app","tags":["1.0","latest"]}',
        referrers_key("team/app", subject): json.dumps(
            {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        ).encode(),
        CATALOG: b'{"repositories":["team/app","team/tool"]}',
        PAGE: b"<!doctype html><title>catalog</title>",
        MIRROR_INDEX: SECRET,
        LOCK: SECRET,
        "notes.txt": SECRET,
        "v2/team/app/notes.txt": SECRET,
        "v2/team/app/manifests/.hidden": SECRET,
    }


@pytest.fixture(scope="module")
def bucket() -> MemoryStore:
    return MemoryStore(objects())


@pytest.fixture(scope="module")
def served(bucket: MemoryStore) -> Iterator[Served]:
    with serving(bucket) as running:
        yield running


BLOB_PATH = f"/v2/team/app/blobs/{DIGEST}"


@given(
    st.tuples(st.none() | st.integers(0, 1400), st.none() | st.integers(0, 1400)).map(
        lambda ends: f"bytes={'' if ends[0] is None else ends[0]}-{'' if ends[1] is None else ends[1]}"
    )
)
def test_ranges_are_served_as_a_model_says(served: Served, requested: str) -> None:
    first, _, last = requested.removeprefix("bytes=").partition("-")
    answer = served.ask(BLOB_PATH, range=requested)
    if (not first and not last) or (first and last and int(last) < int(first)):
        assert (answer.status, answer.body) == (200, BLOB)
        return
    start = int(first) if first else max(0, len(BLOB) - int(last))
    expected = BLOB[start : int(last) + 1 if first and last else len(BLOB)]
    if not expected:
        assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{len(BLOB)}")
        return
    assert (answer.status, answer.body) == (206, expected)
    assert answer.headers["content-range"] == f"bytes {start}-{start + len(expected) - 1}/{len(BLOB)}"
    assert answer.headers["content-length"] == str(len(expected))
    assert answer.headers["docker-content-digest"] == str(DIGEST)


def test_a_part_is_given_only_of_what_the_client_began_with(served: Served) -> None:
    assert served.ask(BLOB_PATH, range="bytes=5-", if_range=f'"{DIGEST}"').status == 206
    for other in (f'"{NONE}"', f'W/"{DIGEST}"', "Tue, 24 Nov 2026 10:00:00 GMT"):
        answer = served.ask(BLOB_PATH, range="bytes=5-", if_range=other)
        assert (answer.status, answer.body) == (200, BLOB)


def test_an_empty_blob_is_a_blob(served: Served) -> None:
    for headers in ({}, {"range": "bytes=0-"}):
        answer = served.ask(f"/v2/team/app/blobs/{Digest.of(b'')}", **headers)
        assert (answer.status, answer.headers["content-length"], answer.body) == (200, "0", b"")


@pytest.mark.parametrize(
    "path",
    ["/", "/v2/", "/v2/_catalog", "/v2/team/app/tags/list", "/v2/team/app/tags/list?n=1",
     "/v2/team/app/manifests/latest", f"/v2/team/app/manifests/{APP.digest}", BLOB_PATH,
     f"/v2/team/app/referrers/{APP.digest}", f"/v2/team/app/referrers/{APP.digest}?artifactType=application/sbom"],
)  # fmt: skip
def test_a_head_is_the_get_without_its_body_and_an_etag_saves_both(
    path: str, served: Served, bucket: MemoryStore
) -> None:
    whole = served.ask(path)
    head = served.ask(path, "HEAD")
    assert (whole.status, head.status, head.body) == (200, 200, b"")
    assert int(head.headers["content-length"]) == len(whole.body)
    different = {name for name, value in whole.headers.items() if head.headers.get(name) != value} - {"date"}
    assert not different
    asked = len(bucket.operations)
    saved = served.ask(path, if_none_match=f'"other", {whole.headers["etag"]}')
    assert (saved.status, saved.body, saved.headers["etag"]) == (304, b"", whole.headers["etag"])
    assert not [operation for operation in bucket.operations[asked:] if operation.kind == "read"]
    assert served.ask(path, if_none_match='"other"').body == whole.body
    assert whole.headers["docker-distribution-api-version"] == "registry/2.0"


def test_manifests_come_with_their_type_and_digest_and_the_page_is_html(served: Served) -> None:
    for reference in ("1.0", APP.digest):
        answer = served.ask(f"/v2/team/app/manifests/{reference}")
        assert answer.body == APP.body
        assert answer.headers["content-type"] == OCI_INDEX
        assert answer.headers["docker-content-digest"] == APP.digest
    for path in ("/", "/index.html"):
        assert served.ask(path).headers["content-type"] == "text/html; charset=utf-8"
    assert "immutable" in served.ask(BLOB_PATH).headers["cache-control"]
    assert "no-cache" in served.ask("/v2/team/app/manifests/1.0").headers["cache-control"]


def test_a_stored_media_type_of_another_tool_does_not_reach_clients() -> None:
    store = MemoryStore()
    store.put(manifest_key("a", "wrong"), APP.body, BLOB_HEADERS)
    store.put(manifest_key("a", "right"), APP.body, manifest_headers(OCI_INDEX, "right"))
    with serving(store) as running:
        for tag in ("wrong", "right"):
            assert running.ask(f"/v2/a/manifests/{tag}", "HEAD").headers["content-type"] == OCI_INDEX


def test_lists_come_in_pages_with_a_link_to_the_next(served: Served) -> None:
    first = served.ask("/v2/team/app/tags/list?n=1")
    assert json.loads(first.body) == {"name": "team/app", "tags": ["1.0"]}
    link = re.fullmatch(r'<(.*)>; rel="next"', first.headers["link"])
    assert link
    second = served.ask(link[1])
    assert json.loads(second.body) == {"name": "team/app", "tags": ["latest"]}
    assert "link" not in second.headers
    nothing = served.ask("/v2/team/app/tags/list?n=0")
    assert json.loads(nothing.body) == {"name": "team/app", "tags": []}
    assert "link" not in nothing.headers
    catalog = served.ask("/v2/_catalog?n=1&last=a")
    assert json.loads(catalog.body) == {"repositories": ["team/app"]}
    assert catalog.headers["link"] == '</v2/_catalog?n=1&last=team%2Fapp>; rel="next"'


def test_referrers_are_an_index_even_of_what_has_none(served: Served) -> None:
    path = f"/v2/team/app/referrers/{APP.digest}"
    everything = served.ask(path)
    assert [entry["artifactType"] for entry in json.loads(everything.body)["manifests"]] == [
        "application/sbom",
        "application/signature",
    ]
    assert "oci-filters-applied" not in everything.headers
    some = served.ask(f"{path}?artifactType=application%2Fsbom")
    assert [entry["artifactType"] for entry in json.loads(some.body)["manifests"]] == ["application/sbom"]
    assert some.headers["oci-filters-applied"] == "artifactType"
    none = served.ask(f"/v2/team/app/referrers/{NONE}")
    assert none.status == 200
    assert none.headers["content-type"] == OCI_INDEX
    assert json.loads(none.body) == {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}


def test_where_referrers_are_not_mirrored_there_is_no_list_of_them() -> None:
    """An empty list would say of an image that nobody has signed it."""
    images = {manifest_key("team/tool", Digest.parse(one.digest)): one.body for one in APP.manifests()}
    with serving(MemoryStore({**objects(), **images})) as running:
        for name in ("team/tool", "unknown"):
            answer = running.ask(f"/v2/{name}/referrers/{APP.digest}")
            assert (answer.status, error_of(answer.body)) == (404, "UNSUPPORTED")


def test_several_ranges_at_once_are_answered_with_the_whole(served: Served) -> None:
    answer = served.ask(BLOB_PATH, range="bytes=0-9,20-29")
    assert (answer.status, answer.body) == (200, BLOB)
    assert "content-range" not in answer.headers


def test_a_bucket_with_nothing_in_it_is_an_empty_registry() -> None:
    with serving(MemoryStore()) as running:
        assert running.ask("/v2/").status == 200
        assert json.loads(running.ask("/v2/_catalog").body) == {"repositories": []}
        assert running.ask("/").status == 404


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v2/team/app/manifests/missing", 404, "MANIFEST_UNKNOWN"),
        (f"/v2/team/app/manifests/{NONE}", 404, "MANIFEST_UNKNOWN"),
        ("/v2/team/app/manifests/.hidden", 404, "MANIFEST_UNKNOWN"),
        ("/v2/team/app/manifests/" + "t" * 129, 404, "MANIFEST_UNKNOWN"),
        ("/v2/team/app/manifests/sha256:123", 400, "DIGEST_INVALID"),
        (f"/v2/team/app/blobs/{NONE}", 404, "BLOB_UNKNOWN"),
        (f"/v2/unknown/blobs/{DIGEST}", 404, "BLOB_UNKNOWN"),
        ("/v2/team/app/blobs/latest", 400, "DIGEST_INVALID"),
        ("/v2/team/app/blobs/md5:" + "0" * 32, 400, "DIGEST_INVALID"),
        ("/v2/team/app/referrers/latest", 400, "DIGEST_INVALID"),
        ("/v2/unknown/tags/list", 404, "NAME_UNKNOWN"),
        ("/v2/a/tags/tags/list", 404, "NAME_UNKNOWN"),
        ("/v2/Team/tags/list", 400, "NAME_INVALID"),
        ("/v2//tags/list", 400, "NAME_INVALID"),
        ("/v2/" + "a" * 256 + "/manifests/latest", 400, "NAME_INVALID"),
        ("/v2/team/app/tags/list?n=-1", 400, "UNSUPPORTED"),
        ("/v2/_catalog?n=many", 400, "UNSUPPORTED"),
        ("/v2/team/app/notes.txt", 404, "UNSUPPORTED"),
        ("/v2/team/app/tags/list/", 404, "UNSUPPORTED"),
        ("/_mirror/index.json", 404, "UNSUPPORTED"),
        ("/notes.txt", 404, "UNSUPPORTED"),
    ],
)
def test_what_cannot_be_answered_is_an_error_in_the_specification_s_form(
    path: str, status: int, code: str, served: Served
) -> None:
    answer = served.ask(path)
    assert (answer.status, error_of(answer.body)) == (status, code)
    assert answer.headers["content-type"] == "application/json"
    assert served.ask(path, "HEAD").status == status


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/v2/team/app/manifests/latest", "/v2/team/app/blobs/uploads/", BLOB_PATH, "/", "/x"])
def test_nothing_can_be_written(method: str, path: str, served: Served, bucket: MemoryStore) -> None:
    answer = served.ask(path, method)
    assert (answer.status, error_of(answer.body), answer.headers["allow"]) == (405, "UNSUPPORTED", "GET, HEAD")
    assert not bucket.writes


WORDS = [
    "v2", "_mirror", "index.json", "lock.json", "..", ".", "", "%2e%2e", "..%2f", "%2F", "%00", "%5c..", "team", "app",
    "team%2Fapp", "manifests", "blobs", "tags", "list", "referrers", "_catalog", "latest", ".hidden", "notes.txt",
    str(DIGEST), quote(str(DIGEST)), "%ff", "%c0%ae%c0%ae", ".r2mirror", "a" * 300, "é", ";x", "?n=1", "#",
]  # fmt: skip
raw_paths = st.lists(st.sampled_from(WORDS) | st.text(max_size=4).map(quote), max_size=8).map(
    lambda parts: "/" + "/".join(part.encode("utf-8").decode("latin-1").replace("é", "%E9") for part in parts)
)


@given(raw_paths)
def test_no_path_leaves_the_layout(served: Served, bucket: MemoryStore, path: str) -> None:
    asked = len(bucket.operations)
    answer = served.ask(quote(path, safe="/%?#:;,.@!$&'()*+=~"))
    assert answer.status in (200, 400, 404)
    assert SECRET not in answer.body
    for _, key in bucket.operations[asked:]:
        assert parse_key(key) or key in (CATALOG, PAGE) or (key.startswith("v2/") and "/referrers/sha" in key), key


class Troubled(MemoryStore):
    """Fails in one way at one kind of operation; `cut` breaks off in the middle of a blob, `short` lacks bytes."""

    def __init__(self, trouble: str, error: Exception) -> None:
        super().__init__(objects())
        self.trouble, self.error = trouble, error

    def _ask(self, kind: str, key: str) -> BaseException | None:
        if kind == self.trouble:
            raise self.error
        return super()._ask(kind, key)

    def read(self, key: str, start: int = 0, length: int | None = None) -> Generator[bytes, None, None] | None:
        chunks = super().read(key, start, length)
        assert chunks is not None
        if self.trouble == "cut":
            return self._cut(chunks)
        return (chunk[:-1] for chunk in chunks) if self.trouble == "short" else chunks

    def _cut(self, chunks: Iterator[bytes]) -> Generator[bytes, None, None]:
        yield next(chunks)
        raise self.error


@pytest.mark.parametrize("error", [StoreUnreachable("s3://key", SECRET.decode()), StoreDenied("s3://key", "no")])
@pytest.mark.parametrize(
    ("operation", "path"),
    [("get", "/v2/team/app/manifests/latest"), ("get", "/v2/_catalog"), ("size", BLOB_PATH), ("read", BLOB_PATH)],
)
def test_a_store_that_fails_is_a_503_that_tells_clients_nothing_of_it(
    operation: str, path: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(Troubled(operation, error)) as running:
        answer = running.ask(path)
        assert running.ask("/v2/").status == 200
    assert (answer.status, error_of(answer.body), answer.headers["retry-after"]) == (503, "UNAVAILABLE", "10")
    assert SECRET not in answer.body
    assert b"s3://" not in answer.body
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [str(error)]


@pytest.mark.parametrize("trouble", ["cut", "short"])
def test_a_blob_that_breaks_off_ends_the_connection_and_is_said_in_one_line(
    trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(Troubled(trouble, StoreUnreachable("s3://key", "gone"))) as running:
        with closing(slow_client(running.host, BLOB_PATH)) as client:
            received = b"".join(iter(lambda: client.recv(65536), b""))
        head, _, body = received.partition(b"\r\n\r\n")
        assert f"content-length: {len(BLOB)}".encode() in head
        assert 0 < len(body) < len(BLOB)
        assert running.ask("/v2/").status == 200
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert line.startswith("a response was cut off: ")


DAMAGED = {
    manifest_key("a", "1"): b"{",
    manifest_key("a", "2"): b"[]",
    manifest_key("a", NONE): APP.body,
    tags_key("a"): b'{"tags": "1"}',
    tags_key("b"): b'{"tags": [1]}',
    CATALOG: b"\xff",
    referrers_key("a", NONE): b'{"manifests": [1]}',
    referrers_key("b", NONE): b"{}",
}


def test_what_is_damaged_is_not_served_and_the_log_says_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    with serving(MemoryStore(DAMAGED)) as running:
        for key in DAMAGED:
            answer = running.ask(f"/{key}")
            assert (answer.status, error_of(answer.body)) == (500, "MANIFEST_INVALID"), key
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    for key, line in zip(DAMAGED, lines, strict=True):
        assert f"memory:bucket/{key}" in line
        assert "verify --repair" in line


@pytest.mark.slow
def test_two_hundred_slow_readers_at_once_hold_no_thread_and_leave_nothing_open(watched: Watched) -> None:
    others = threading.enumerate()
    with serving(watched) as running:
        clients = [slow_client(running.host) for _ in range(200)]
        wait_until(lambda: watched.under_way == 200)
        assert running.ask("/v2/_catalog").status == 200, "others are served meanwhile"
        threads = [thread.name for thread in threading.enumerate() if thread not in others]
        assert 1 < len(threads) <= 1 + 40, "the server's own, and the pool"
        assert watched.most_inside <= 40
        for client in clients[:3]:
            received = b"".join(iter(lambda: client.recv(1 << 20), b""))  # noqa: B023 (read at once)
            assert received.partition(b"\r\n\r\n")[2] == b"".join(bytes([n]) * (LARGE_SIZE // 6) for n in range(6))
        for client in clients:
            client.close()
        wait_until(lambda: watched.under_way == 0)
    assert watched.most_under_way == 200


class Hanging(MemoryStore):
    """Answers nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__(objects())
        self.waiting = threading.Semaphore(0)
        self.go = threading.Event()

    def get(self, key: str) -> Stored | None:
        self.waiting.release()
        self.go.wait(60)
        return super().get(key)


def test_a_probe_is_answered_while_every_thread_waits_for_the_store() -> None:
    store = Hanging()
    with serving(store) as running:
        clients = [slow_client(running.host, "/v2/team/app/manifests/latest") for _ in range(45)]
        for _ in range(40):
            assert store.waiting.acquire(timeout=60)
        assert not store.waiting.acquire(blocking=False), "there are 40 threads and no more"
        assert running.ask("/v2/").status == 200
        store.go.set()
        for client in clients:
            assert b"".join(iter(lambda: client.recv(65536), b"")).endswith(APP.body)  # noqa: B023 (read at once)
            client.close()


def test_a_server_that_is_stopped_does_not_wait_for_stalled_clients_for_ever(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("reconciler.serve.server.STOP_TIMEOUT", 0)
    with warnings.catch_warnings():
        # A process would end here; in this one asyncio notes the connection that nobody closed.
        warnings.simplefilter("ignore", ResourceWarning)
        with serving(watched) as running:
            client = slow_client(running.host)
            wait_until(lambda: watched.under_way == 1)
        client.close()
        gc.collect()
    assert watched.under_way == 0
    assert not [record for record in caplog.records if record.exc_info], "no traceback"


def test_a_client_beyond_the_limit_is_told_to_come_back(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.serve.server.CONNECTIONS", 2)
    with serving(watched) as running:
        clients = [slow_client(running.host) for _ in range(2)]
        wait_until(lambda: watched.under_way == 2)
        refused = running.ask("/v2/_catalog")
        assert (refused.status, error_of(refused.body)) == (503, "TOOMANYREQUESTS")
        assert int(refused.headers["retry-after"]) > 0
        assert running.ask("/v2/").status == 200, "there is room for probes"
        for client in clients:
            client.close()
        wait_until(lambda: watched.under_way == 0)
        wait_until(lambda: running.ask("/v2/_catalog").status == 200)


@pytest.mark.parametrize(
    ("published", "image"),
    [
        ({}, None),
        ({CATALOG: b"{"}, None),
        ({CATALOG: b'{"repositories":["../x"]}'}, None),
        ({CATALOG: b'{"repositories":["a"]}'}, None),
        ({CATALOG: b'{"repositories":["a"]}', tags_key("a"): b'{"tags":["1","2"]}'}, "a:2"),
    ],
)
def test_an_image_to_show_is_looked_for_in_the_published_lists(published: dict[str, bytes], image: str | None) -> None:
    assert an_image(MemoryStore(published)) == image


def test_what_a_port_or_an_address_is_not() -> None:
    with listen("127.0.0.1", 0) as taken:
        for host, port in (("127.0.0.1", taken.getsockname()[1]), ("not an address", 5000), ("a" * 80, 1)):
            with pytest.raises(UsageError, match=rf"cannot listen on {host} port {port}: .*--port"):
                listen(host, port)
