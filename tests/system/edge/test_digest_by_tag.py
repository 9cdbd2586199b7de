"""`edge.digest_by_tag`: a tag's digest stored as its Content-Language, moved by a rule to where clients look for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from reconciler.edge.config import EdgeConfig
from reconciler.edge.rules import edge_rules
from reconciler.oci.spec import OCI_INDEX, Digest
from reconciler.stores.headers import Headers
from reconciler.target.conditional_writes import put_changed
from reconciler.target.digest_by_tag import DigestByTag
from reconciler.target.layout import BLOB_HEADERS, JSON_HEADERS, blob_key, manifest_headers, manifest_key, tags_key
from tests.parts.caddy_edge import start_caddy_edge
from tests.parts.nginx_edge import HOST, start_nginx_edge
from tests.parts.seaweedfs import bucket_store

if TYPE_CHECKING:
    from reconciler.stores import Store
    from tests.parts.nginx_edge import Edge
    from tests.parts.seaweedfs import S3Bucket

BODY = b'{"schemaVersion": 2}'
DIGEST = Digest.of(BODY)
TAG = manifest_key("app", "1.0")
HEADERS = manifest_headers(OCI_INDEX, "1.0")
OBJECTS = {
    TAG: HEADERS,
    manifest_key("app", DIGEST): manifest_headers(OCI_INDEX, DIGEST),
    blob_key("app", DIGEST): BLOB_HEADERS,
    tags_key("app"): JSON_HEADERS,
}


def stores(bucket: S3Bucket) -> tuple[Store, DigestByTag]:
    """The bucket with the switch off and on."""
    off = bucket_store(bucket)
    return off, DigestByTag(off)


@pytest.fixture(params=["s3_bucket", "r2_buckets"])
def bucket(request: pytest.FixtureRequest) -> S3Bucket:
    found = request.getfixturevalue(request.param)
    return found[0] if isinstance(found, tuple) else found  # type: ignore[no-any-return]  # it is untyped


@pytest.mark.parametrize("start", [start_nginx_edge, start_caddy_edge])
def test_clients_get_the_digest_of_a_tag(
    start: Callable[..., AbstractContextManager[Edge]], bucket: S3Bucket, tmp_path: Path
) -> None:
    off, on = stores(bucket)
    for key, headers in OBJECTS.items():
        on.put(key, BODY, headers)
    off.put(manifest_key("app", "older"), BODY, HEADERS)
    off.put(manifest_key("app", "foreign"), BODY, Headers(OCI_INDEX, "", "en"))
    rules = edge_rules(EdgeConfig("example.com", HOST, cache=False, digest_by_tag=True))
    with start(tmp_path / "edge", bucket.public_url, rules) as edge:
        for method in ("HEAD", "GET"):
            for key in OBJECTS:
                answer = httpx.request(method, f"{edge.url}/{key}?ns=docker.io", trust_env=False)
                has_digest = key != tags_key("app")
                assert answer.headers.get("docker-content-digest") == (str(DIGEST) if has_digest else None), key
                assert answer.headers["content-length"] == str(len(BODY))
                assert "content-language" not in answer.headers
            for tag, language in (("older", None), ("foreign", "en"), ("none", None)):
                answer = httpx.request(method, f"{edge.url}/{manifest_key('app', tag)}", trust_env=False)
                assert "docker-content-digest" not in answer.headers
                assert answer.headers.get("content-language") == language


def test_what_was_written_before_the_switch_is_seen_and_written_again(bucket: S3Bucket) -> None:
    off, on = stores(bucket)
    first = off.put(TAG, BODY, HEADERS)
    for store, language in ((on, str(DIGEST)), (off, "")):
        there = store.get(TAG)
        assert there
        assert there.headers != HEADERS
        put_changed(store, TAG, BODY, HEADERS)
        there = store.get(TAG)
        assert there
        assert (there.headers, there.etag) == (HEADERS, first)
        stored = bucket.client().head_object(Bucket=bucket.bucket, Key=TAG)
        assert stored.get("ContentLanguage", "") == language


def test_a_language_that_is_another_digest_is_wrong(bucket: S3Bucket) -> None:
    off, on = stores(bucket)
    off.put(TAG, BODY, Headers(OCI_INDEX, HEADERS.cache_control, str(Digest.of(b"else"))))
    there = on.get(TAG)
    assert there
    assert there.headers == Headers(OCI_INDEX, HEADERS.cache_control, str(Digest.of(b"else")))
