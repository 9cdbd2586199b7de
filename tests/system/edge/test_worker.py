"""The Worker in Cloudflare's own runtime: what the specification leaves open, caching, damage, and its types.

What the specification requires is in tests/parts/conformance.py.
"""

from __future__ import annotations

import json
import subprocess
import uuid
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.oci.spec import OCI_MANIFEST, Digest
from reconciler.stores.folder import FolderStore
from reconciler.stores.headers import Headers
from reconciler.target.layout import (
    BLOB_HEADERS,
    CATALOG,
    JSON_HEADERS,
    LOCK,
    LOCK_HEADERS,
    MIRROR_INDEX,
    PAGE,
    PAGE_HEADERS,
    REFERRERS_HEADERS,
    blob_key,
    manifest_headers,
    manifest_key,
    referrers_key,
    tags_key,
)
from tests import load, worker_fuzz
from tests.parts.conformance import fill
from tests.parts.process import find_program, missing
from tests.parts.r2_simulator import INSTALLED, WORKER, worker_host
from tests.parts.seaweedfs import bucket_store
from tests.parts.serving import Answer, Served, error_of, serving

if TYPE_CHECKING:
    from reconciler.stores import Store
    from tests.parts.seaweedfs import S3Bucket

MANIFEST = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}'
BY_DIGEST, BY_TAG = manifest_headers(OCI_MANIFEST, Digest.of(MANIFEST)), manifest_headers(OCI_MANIFEST, "1")


class Mirror:
    """A bucket behind the Worker. Its repository has a name of its own: the Worker remembers what it has seen."""

    def __init__(self, bucket: S3Bucket) -> None:
        self.store: Store = bucket_store(bucket)
        self.served = Served(worker_host(bucket))
        self.name = f"app-{uuid.uuid4().hex[:8]}"

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        return self.served.ask(f"/v2/{self.name}/{path}", method, **headers)

    def blob(self, body: bytes) -> Digest:
        digest = Digest.of(body)
        self.store.put(blob_key(self.name, digest), body, BLOB_HEADERS)
        return digest

    def manifest(self, reference: Digest | str, body: bytes = MANIFEST, headers: Headers = BY_TAG) -> None:
        self.store.put(manifest_key(self.name, reference), body, headers)


@pytest.fixture
def mirror(r2_buckets: tuple[S3Bucket, S3Bucket]) -> Mirror:
    return Mirror(r2_buckets[0])


def test_its_types_hold_and_it_is_small() -> None:
    tsc = INSTALLED / "node_modules" / ".bin" / "tsc"
    if not tsc.exists():
        missing("typescript", "make parts")
    node = find_program("node", "Node.js 20 or newer from nodejs.org")
    config = str(WORKER.parents[2] / "tests" / "parts" / "r2_simulator" / "tsconfig.json")
    checked = subprocess.run([node, str(tsc), "-p", config], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")
    assert sum(len(module.read_bytes()) for module in WORKER.glob("*.js")) < 100 * 1024


def test_nothing_else_of_the_bucket_can_be_read(mirror: Mirror) -> None:
    for key in (MIRROR_INDEX, LOCK, "v2/_pong", "secret.txt", f"v2/{mirror.name}/other"):
        mirror.store.put(key, b"{}", LOCK_HEADERS)
        for path in (key, f"v2/../{key}", f"v2/%2e%2e/{key}", f"v2//{key}", f"./{key}", key.replace("/", "%2F")):
            answer = mirror.served.ask(f"/{path}")
            assert answer.status in (400, 404), path
            assert error_of(answer.body)


def test_it_answers_what_the_rules_rewrite(mirror: Mirror) -> None:
    """As long as both are there, the rules change a path before the Worker has it."""
    answer = mirror.served.ask("/v2/_ping")
    assert (answer.status, answer.body) == (200, b"{}")


def test_the_catalog_page_is_served_at_the_root(mirror: Mirror) -> None:
    assert mirror.served.ask("/").status == 404
    mirror.store.put(PAGE, b"<p>", PAGE_HEADERS)
    for path in ("/", "/index.html"):
        answer = mirror.served.ask(path)
        assert (answer.status, answer.body) == (200, b"<p>")
        assert answer.headers["content-type"] == PAGE_HEADERS.content_type


def test_digests_are_cached_for_a_year_and_tags_never(mirror: Mirror) -> None:
    digest = Digest.of(MANIFEST)
    mirror.manifest("1")
    mirror.manifest(digest, headers=BY_DIGEST)
    blob = mirror.blob(b"layer")
    paths = (f"manifests/{digest}", f"blobs/{blob}", "manifests/1")
    first = [mirror.ask(path) for path in paths]
    assert [one.headers["cache-control"] for one in first] == [
        BY_DIGEST.cache_control, BLOB_HEADERS.cache_control, BY_TAG.cache_control
    ]  # fmt: skip
    mirror.store.delete(
        [manifest_key(mirror.name, digest), blob_key(mirror.name, blob), manifest_key(mirror.name, "1")]
    )
    again = [mirror.ask(path) for path in paths]
    assert [one.status for one in again] == [200, 200, 404]
    assert [one.body for one in again[:2]] == [MANIFEST, b"layer"]
    for before, after in zip(first[:2], again[:2], strict=True):
        for name in ("content-type", "content-length", "docker-content-digest", "etag", "last-modified"):
            assert before.headers[name] == after.headers[name]
    part = mirror.ask(f"blobs/{blob}", range="bytes=1-3")
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"aye", "bytes 1-3/5")
    head = mirror.ask(f"blobs/{blob}", "HEAD")
    assert (head.status, head.headers["content-length"], head.body) == (200, "5", b"")


def test_a_client_that_has_it_gets_304(mirror: Mirror) -> None:
    mirror.manifest("1")
    blob = mirror.blob(b"layer")
    mirror.store.put(tags_key(mirror.name), b'{"name":"x","tags":["1"]}', JSON_HEADERS)
    for path in ("manifests/1", f"blobs/{blob}", f"blobs/{blob}", "tags/list", "tags/list?n=1"):
        answer = mirror.ask(path)
        etag = answer.headers["etag"]
        for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            unchanged = mirror.ask(path, if_none_match=known)
            assert (unchanged.status, unchanged.body, unchanged.headers["etag"]) == (304, b"", etag), path
        assert mirror.ask(path, if_none_match='"other"', if_modified_since=formatdate(usegmt=True)).status == 200
    since = mirror.ask("manifests/1").headers["last-modified"]
    assert mirror.ask("manifests/1", if_modified_since=since).status == 304
    assert mirror.ask("manifests/1", if_modified_since=formatdate(0, usegmt=True)).status == 200
    assert mirror.ask("manifests/1", if_modified_since="a while ago").status == 200


@pytest.mark.parametrize("is_cached", [False, True])
def test_ranges_that_are_not_one_valid_range_are_ignored(mirror: Mirror, is_cached: bool) -> None:
    blob = mirror.blob(b"0123456789")
    if is_cached:
        assert mirror.ask(f"blobs/{blob}").status == 200
    for asked in ("bytes=0-1,4-5", "bytes=5-2", "items=0-1", "bytes=-", "bytes=x-y", "bytes=0-1;"):
        assert mirror.ask(f"blobs/{blob}", range=asked).body == b"0123456789", asked
    for asked in ("bytes=10-", "bytes=-0", "bytes=999999999999-"):
        assert mirror.ask(f"blobs/{blob}", range=asked).status == 416, asked
    assert mirror.ask(f"blobs/{blob}", range="bytes=-99").body == b"0123456789"
    assert mirror.ask(f"blobs/{blob}", range="bytes=2-3", if_range=f'"{blob}"').body == b"23"
    assert mirror.ask(f"blobs/{blob}", range="bytes=2-3", if_range='"other"').status == 200
    assert mirror.ask(f"blobs/{mirror.blob(b'')}", range="bytes=0-").status == 200


def test_a_tag_has_its_digest_wherever_that_comes_from(mirror: Mirror) -> None:
    stored = str(Digest.of(b"as apply says"))
    mirror.manifest("stored", headers=Headers(OCI_MANIFEST, BY_TAG.cache_control, stored))
    mirror.manifest("computed")
    for method in ("HEAD", "GET", "HEAD"):
        for tag, digest in (("stored", stored), ("computed", str(Digest.of(MANIFEST)))):
            answer = mirror.ask(f"manifests/{tag}", method)
            assert answer.headers["docker-content-digest"] == digest
            assert answer.headers["content-length"] == str(len(MANIFEST))
            assert answer.headers["content-type"] == OCI_MANIFEST
    mirror.manifest("computed", b"moved")
    assert mirror.ask("manifests/computed", "HEAD").headers["docker-content-digest"] == str(Digest.of(b"moved"))


def test_what_is_damaged_is_500_and_says_so_in_the_log_only(mirror: Mirror) -> None:
    mirror.manifest(Digest.of(MANIFEST), b"damaged", BY_DIGEST)
    mirror.manifest("large", b" " * (4 * 1024 * 1024 + 1))
    mirror.store.put(tags_key(mirror.name), b'{"name":"x","tags":[1]}', JSON_HEADERS)
    subject = Digest.of(b"subject")
    mirror.store.put(referrers_key(mirror.name, subject), b"[", REFERRERS_HEADERS)
    for path in (
        f"manifests/{Digest.of(MANIFEST)}",
        "manifests/large",
        "tags/list?n=1",
        f"referrers/{subject}?artifactType=x",
    ):
        answer = mirror.ask(path)
        assert (answer.status, error_of(answer.body)) == (500, "MANIFEST_INVALID"), path
        assert mirror.name.encode() not in answer.body
    mirror.manifest(Digest.of(MANIFEST), MANIFEST, BY_DIGEST)
    assert mirror.ask(f"manifests/{Digest.of(MANIFEST)}").status == 200, "damage is not cached"


def test_a_repository_whose_referrers_are_not_mirrored_has_no_lists(mirror: Mirror) -> None:
    answer = mirror.ask(f"referrers/{Digest.of(b'any')}")
    assert (answer.status, error_of(answer.body)) == (404, "UNSUPPORTED")


def test_it_answers_whatever_is_asked_as_serve_does(mirror: Mirror, tmp_path: Path) -> None:
    """A sample of `make fuzz-worker`."""
    folder = FolderStore(tmp_path / "mirror")
    for store in (mirror.store, folder):
        worker_fuzz.fill_with_state(store)
    with serving(folder) as served:
        statuses, wrong = worker_fuzz.compare(mirror.served.host, served.host, 400, seed=3)
    assert wrong == []
    assert {200, 206, 400, 404, 405, 416} <= set(statuses)


def test_many_clients_at_once_are_all_answered(mirror: Mirror) -> None:
    """A sample of `make load`, which measures memory and CPU time too."""
    fill(mirror.store)
    body = b"0123456789" * 100_000
    large = Digest.of(body)
    mirror.store.put(blob_key("app", large), body, BLOB_HEADERS)
    loaded = load.under_load(mirror.served.host, clients=30, seconds=1, large=large)
    assert loaded.failed == []
    assert set(loaded.answered) == {200, 404}
    assert loaded.received > len(body)
    times = load.cpu_times(mirror.served.host, load.runtime(), large, samples=1)
    assert all(0 < one[0] < 1000 for one in times.values())


def test_the_catalog_is_paged(mirror: Mirror) -> None:
    assert json.loads(mirror.served.ask("/v2/_catalog").body) == {"repositories": []}
    mirror.store.put(CATALOG, b'{"repositories":["a","b/c"]}', JSON_HEADERS)
    answer = mirror.served.ask("/v2/_catalog?n=1")
    assert (json.loads(answer.body), answer.headers["link"]) == (
        {"repositories": ["a"]},
        '</v2/_catalog?n=1&last=a>; rel="next"',
    )
    assert json.loads(mirror.served.ask("/v2/_catalog?n=1&last=a").body) == {"repositories": ["b/c"]}
    for n in ("-1", "x", "9" * 99):
        assert mirror.served.ask(f"/v2/_catalog?n={n}").status == 400
