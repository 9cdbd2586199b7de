"""What every store has to do, run against a folder, a real S3 server and Cloudflare's simulator of R2."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import repeat
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import PreconditionFailed, StoreError
from reconciler.oci.spec import Digest
from reconciler.stores import CHUNK, Absent, Listed, Matches, Store, unfinished
from reconciler.stores.folder import Folder, FolderStore
from reconciler.stores.parts import MIB, PART_SIZE
from reconciler.stores.s3 import multipart
from reconciler.stores.s3.store import DELETE_BATCH
from reconciler.target.layout import BLOB_HEADERS, JSON_HEADERS
from tests.memory import MemoryStore
from tests.parts.seaweedfs import bucket_store

if TYPE_CHECKING:
    from tests.parts.seaweedfs import S3Bucket

KEY = "v2/app/blobs/sha256:" + "0" * 64


@pytest.fixture(params=["folder", "memory", "seaweedfs", "r2"])
def store(request: pytest.FixtureRequest) -> Store:
    """An empty store of each kind."""
    if request.param == "memory":
        return MemoryStore()
    if request.param == "folder":
        folder = request.getfixturevalue("tmp_path") / "store"
        return Folder(folder, None).open({}).public
    bucket = request.getfixturevalue("s3_bucket") if request.param == "seaweedfs" else _first(request)
    return bucket_store(bucket)


def _first(request: pytest.FixtureRequest) -> S3Bucket:
    buckets: tuple[S3Bucket, ...] = request.getfixturevalue("r2_buckets")
    return buckets[0]


def upload(store: Store, key: str, body: bytes, chunk_size: int = MIB) -> None:
    chunks = (body[start : start + chunk_size] for start in range(0, len(body), chunk_size))
    store.upload(key, chunks, len(body), Digest.of(body), BLOB_HEADERS)


def generated(size: int) -> bytes:
    """Bytes that differ from part to part, the same each time."""
    return random.Random(size).randbytes(size)


def stored(store: Store, key: str) -> bytes:
    found = store.get(key)
    assert found is not None
    return found.body


def keys(store: Store, prefix: str = "") -> list[str]:
    return [row.key for row in store.list(prefix)]


def test_what_was_put_is_read_back_with_its_etag(store: Store) -> None:
    etag = store.put("v2/_ping", b"{}", JSON_HEADERS)
    found = store.get("v2/_ping")
    assert found is not None
    assert (found.body, found.etag) == (b"{}", etag)
    assert etag.startswith('"')
    assert etag.endswith('"')


def test_a_missing_key_is_none_and_not_an_error(store: Store) -> None:
    assert store.get("v2/_ping") is None
    store.put("v2/app/tags/list", b"{}", JSON_HEADERS)
    assert store.get("v2/app") is None
    assert store.get("v2/app/tags/list/more") is None


def test_an_empty_object_is_not_a_missing_one(store: Store) -> None:
    store.put("v2/empty", b"", JSON_HEADERS)
    assert stored(store, "v2/empty") == b""


def test_another_body_has_another_etag_and_replaces_the_first(store: Store) -> None:
    first = store.put("v2/_ping", b"1", JSON_HEADERS)
    second = store.put("v2/_ping", b"2", JSON_HEADERS)
    assert first != second
    assert stored(store, "v2/_ping") == b"2"


@pytest.mark.parametrize(
    "key",
    [
        "v2/app/blobs/sha512:" + "f" * 128,
        "v2/a.b_c__d-e/manifests/A_tag.with-every_KIND",
        "v2/app/manifests/" + "t" * 128,
        "v2/" + "/".join(["part"] * 40) + "/tags/list",
        "_mirror/index.json",
    ],
)
def test_every_key_of_the_layout_can_be_stored(store: Store, key: str) -> None:
    store.put(key, b"x", JSON_HEADERS)
    assert stored(store, key) == b"x"
    assert keys(store) == [key]


def test_a_listing_has_the_keys_of_its_prefix_with_their_sizes(store: Store) -> None:
    store.put("v2/app/manifests/1", b"one", JSON_HEADERS)
    store.put("v2/app/manifests/10", b"ten", JSON_HEADERS)
    store.put("v2/app2/manifests/1", b"", JSON_HEADERS)
    store.put("other", b"not ours", JSON_HEADERS)
    assert list(store.list("v2/app/")) == [Listed("v2/app/manifests/1", 3), Listed("v2/app/manifests/10", 3)]
    assert keys(store, "v2/app") == ["v2/app/manifests/1", "v2/app/manifests/10", "v2/app2/manifests/1"]
    assert keys(store, "v2/app/manifests/10") == ["v2/app/manifests/10"]
    assert keys(store, "v2/none/") == []
    assert keys(store) == ["other", "v2/app/manifests/1", "v2/app/manifests/10", "v2/app2/manifests/1"]


@pytest.mark.parametrize("store", ["folder", "r2"], indirect=True)
def test_keys_are_listed_in_the_order_of_their_bytes(store: Store) -> None:
    unordered = ["v2/a/x", "v2/a-b/x", "v2/a.b/x", "v2/a0/x", "v2/B/x", "v2/a/b/x", "v2/a!", "v2/é/x", "v2/z"]
    for key in unordered:
        store.put(key, b"", JSON_HEADERS)
    assert keys(store) == sorted(unordered, key=str.encode)


@pytest.mark.parametrize("store", ["seaweedfs", "r2"], indirect=True)
def test_listing_and_deletion_take_more_than_one_page(store: Store) -> None:
    wanted = {f"v2/app/manifests/{number}" for number in range(DELETE_BATCH + 2)}
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda key: store.put(key, b"", JSON_HEADERS), wanted))
    listed = keys(store, "v2/app/")
    assert len(listed) == len(wanted)
    assert set(listed) == wanted
    store.delete(listed)
    assert keys(store) == []


def test_create_only_if_absent(store: Store) -> None:
    store.put("lock", b"first", JSON_HEADERS, Absent())
    with pytest.raises(PreconditionFailed):
        store.put("lock", b"second", JSON_HEADERS, Absent())
    assert stored(store, "lock") == b"first"
    store.delete(["lock"])
    store.put("lock", b"third", JSON_HEADERS, Absent())
    assert stored(store, "lock") == b"third"


def test_the_same_bytes_again_do_not_pass_for_the_first_writer_s(store: Store) -> None:
    store.put("lock", b"same", JSON_HEADERS, Absent())
    with pytest.raises(PreconditionFailed):
        store.put("lock", b"same", JSON_HEADERS, Absent())


def test_replace_only_what_was_read(store: Store) -> None:
    first = store.put("index", b"1", JSON_HEADERS)
    second = store.put("index", b"2", JSON_HEADERS, Matches(first))
    with pytest.raises(PreconditionFailed):
        store.put("index", b"3", JSON_HEADERS, Matches(first))
    assert stored(store, "index") == b"2"
    store.put("index", b"3", JSON_HEADERS, Matches(second))
    assert stored(store, "index") == b"3"


def test_replacing_what_is_gone_fails(store: Store) -> None:
    etag = store.put("index", b"1", JSON_HEADERS)
    store.delete(["index"])
    with pytest.raises(PreconditionFailed):
        store.put("index", b"2", JSON_HEADERS, Matches(etag))
    assert store.get("index") is None


@pytest.mark.parametrize("exists", [False, True])
def test_of_sixteen_writers_at_once_one_wins(store: Store, *, exists: bool) -> None:
    condition = Matches(store.put("index", b"before", JSON_HEADERS)) if exists else Absent()
    start = threading.Barrier(16)

    def write(number: int) -> bytes | None:
        body = b"writer %d" % number
        start.wait()
        try:
            store.put("index", body, JSON_HEADERS, condition)
        except PreconditionFailed:
            return None
        return body

    with ThreadPoolExecutor(16) as writers:
        winners = [body for body in writers.map(write, range(16)) if body]
    assert winners == [stored(store, "index")]


@pytest.mark.parametrize("size", [0, 1, PART_SIZE, PART_SIZE + 1, 2 * PART_SIZE, 40 * MIB + 5])
def test_a_stream_of_any_size_arrives_whole(store: Store, size: int) -> None:
    body = generated(size)
    upload(store, KEY, body, chunk_size=3 * MIB + 7)
    assert list(store.list("")) == [Listed(KEY, size)]
    assert stored(store, KEY) == body


def test_chunks_may_be_larger_than_a_part(store: Store) -> None:
    body = generated(2 * PART_SIZE + 1)
    upload(store, KEY, body, chunk_size=len(body))
    assert stored(store, KEY) == body


def test_an_upload_replaces_what_was_there(store: Store) -> None:
    upload(store, KEY, b"before")
    upload(store, KEY, generated(PART_SIZE + 1))
    assert stored(store, KEY) == generated(PART_SIZE + 1)
    upload(store, KEY, b"after")
    assert stored(store, KEY) == b"after"


class Broken(Exception):
    """What a source raises in these tests."""


@pytest.mark.parametrize("failure", [Broken(), OSError("source"), KeyboardInterrupt(), GeneratorExit()], ids=repr)
@pytest.mark.parametrize("size", [100, 20 * MIB])
def test_a_stream_that_fails_at_its_very_end_leaves_nothing(store: Store, size: int, failure: BaseException) -> None:
    def chunks() -> Iterator[bytes]:
        yield from repeat(b"x" * (size // 10), 10)
        assert keys(store) == []
        raise failure

    with pytest.raises(type(failure)):
        store.upload(KEY, chunks(), size, Digest.of(b""), BLOB_HEADERS)
    assert keys(store) == []


@pytest.mark.parametrize("sent", [0, 99, 101, 21 * MIB])
@pytest.mark.parametrize("size", [100, 20 * MIB])
def test_a_stream_of_another_size_is_refused(store: Store, size: int, sent: int) -> None:
    chunks = (b"x" * min(MIB, sent - start) for start in range(0, sent, MIB))
    with pytest.raises(StoreError, match=f"expected {size} bytes, got"):
        store.upload(KEY, chunks, size, Digest.of(b""), BLOB_HEADERS)
    assert keys(store) == []


def test_many_uploads_at_once(store: Store) -> None:
    bodies = {f"v2/app/blobs/{number}": generated(size) for number, size in enumerate([17 * MIB, 5, 0, MIB] * 4)}
    with ThreadPoolExecutor(16) as uploaders:
        list(uploaders.map(lambda entry: upload(store, *entry), bodies.items()))
    assert {key: len(body) for key, body in bodies.items()} == {row.key: row.size for row in store.list("")}
    assert all(stored(store, key) == body for key, body in bodies.items())


def test_delete_removes_what_is_there_and_takes_no_offence_at_what_is_not(store: Store) -> None:
    for key in ("v2/a/x", "v2/a/y", "v2/b/x"):
        store.put(key, b"", JSON_HEADERS)
    store.delete(key for key in ["v2/a/x", "v2/none", "v2/a", "v2/b/x", "v2/b/x/deeper"])
    assert keys(store) == ["v2/a/y"]
    store.delete([])
    assert keys(store) == ["v2/a/y"]


def test_an_object_s_age_is_by_the_store_s_clock(store: Store) -> None:
    store.put("v2/_ping", b"{}", JSON_HEADERS)
    found = store.get("v2/_ping")
    assert found is not None
    assert 0 <= found.age < 60
    later = store.get("v2/_ping")
    assert later is not None
    assert (found.now.utcoffset(), later.now >= found.now) == (timedelta(), True)


def test_headers_come_back_where_they_are_kept(store: Store, request: pytest.FixtureRequest) -> None:
    store.put("v2/_ping", b"{}", JSON_HEADERS)
    found = store.get("v2/_ping")
    assert found is not None
    assert found.headers == (None if isinstance(store, FolderStore) else JSON_HEADERS)


def test_a_large_object_is_read_in_chunks(store: Store) -> None:
    body = generated(5 * MIB + 1)
    upload(store, KEY, body)
    chunks = store.read(KEY)
    assert chunks is not None
    read = list(chunks)
    assert b"".join(read) == body
    assert max(map(len, read)) <= CHUNK
    assert store.read(KEY + "0") is None


BODY = generated(2 * MIB + 5)


def test_a_part_of_an_object_is_read(store: Store) -> None:
    upload(store, KEY, BODY)
    size = len(BODY)
    for start, length in [(0, 1), (0, size), (0, size + 9), (size - 1, None), (7, None), (MIB - 1, MIB + 2), (5, MIB)]:
        chunks = store.read(KEY, start, length)
        assert chunks is not None
        assert b"".join(chunks) == BODY[start:][:length], (start, length)


def test_a_read_that_is_closed_early_gives_up_what_it_holds(store: Store) -> None:
    upload(store, KEY, BODY)
    chunks = store.read(KEY)
    assert chunks is not None
    assert BODY.startswith(next(chunks))
    chunks.close()
    assert list(chunks) == []


def test_an_object_s_size(store: Store) -> None:
    upload(store, KEY, BODY)
    store.put("v2/empty", b"", JSON_HEADERS)
    assert (store.size(KEY), store.size("v2/empty")) == (len(BODY), 0)
    assert store.size(KEY + "0") is None
    assert store.size("v2/app/blobs") is None


def test_nothing_is_unfinished_after_an_upload(store: Store) -> None:
    upload(store, KEY, generated(PART_SIZE + 1))
    assert list(unfinished(store, "v2/")) == []


OTHER = "v2/other/blobs/sha256:" + "0" * 64


def headers_of(store: Store, key: str) -> object:
    found = store.get(key)
    assert found is not None
    return found.headers


@pytest.mark.parametrize("size", [0, 100, 11 * MIB])
def test_a_copy_is_the_same_bytes_under_headers_of_its_own(
    store: Store, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multipart, "COPY_PART", 5 * MIB)
    store.upload(KEY, iter([generated(size)]), size, Digest.of(generated(size)), JSON_HEADERS)
    assert store.copy(KEY, OTHER, size, BLOB_HEADERS)
    assert stored(store, OTHER) == generated(size)
    assert headers_of(store, OTHER) == (None if isinstance(store, FolderStore) else BLOB_HEADERS)
    assert list(unfinished(store, "v2/")) == []
    store.delete([KEY])
    assert stored(store, OTHER) == generated(size)


def test_a_copy_replaces_what_was_there_and_may_be_made_again(store: Store) -> None:
    upload(store, KEY, b"new")
    upload(store, OTHER, b"before")
    assert store.copy(KEY, OTHER, 3, BLOB_HEADERS)
    assert store.copy(KEY, OTHER, 3, BLOB_HEADERS)
    upload(store, KEY, b"changed")
    assert stored(store, OTHER) == b"new"
    assert sorted(keys(store)) == sorted([KEY, OTHER])


@pytest.mark.parametrize("size", [100, 11 * MIB])
def test_what_is_not_there_is_not_copied(store: Store, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "COPY_PART", 5 * MIB)
    assert not store.copy(KEY, OTHER, size, BLOB_HEADERS)
    assert keys(store) == []
    assert list(unfinished(store, "v2/")) == []


def test_a_copy_of_parts_that_are_not_there_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "COPY_PART", 5 * MIB)
    upload(store, KEY, generated(6 * MIB))
    assert not store.copy(KEY, OTHER, 16 * MIB, BLOB_HEADERS)
    assert keys(store) == [KEY]
    assert list(unfinished(store, "v2/")) == []


@pytest.mark.parametrize("size", [100, 11 * MIB])
def test_a_guard_comes_before_every_copy(store: Store, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "COPY_PART", 5 * MIB)

    def refuse() -> None:
        raise Broken

    upload(store, KEY, generated(size))
    with pytest.raises(Broken):
        store.guarded(refuse).copy(KEY, OTHER, size, BLOB_HEADERS)
    assert keys(store) == [KEY]
    assert list(unfinished(store, "v2/")) == []
