"""Tags that are stored with their digest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.oci.spec import OCI_INDEX, Digest
from reconciler.stores.buckets import R2
from reconciler.stores.folder import Folder, FolderStore
from reconciler.target.digest_by_tag import DigestByTag, open_stores
from reconciler.target.layout import BLOB_HEADERS, JSON_HEADERS, blob_key, manifest_headers, manifest_key, tags_key
from tests.memory import MemoryStore

BODY = b"{}"
DIGEST = Digest.of(BODY)
TAG = manifest_key("app", "1.0")
HEADERS = manifest_headers(OCI_INDEX, "1.0")
CREDENTIALS = {"R2_ACCESS_KEY_ID": "key", "R2_SECRET_ACCESS_KEY": "secret"}


def test_only_a_tag_gets_a_digest_and_callers_do_not_see_it() -> None:
    inner = MemoryStore()
    store = DigestByTag(inner)
    objects = {
        TAG: HEADERS,
        manifest_key("app", DIGEST): manifest_headers(OCI_INDEX, DIGEST),
        blob_key("app", DIGEST): BLOB_HEADERS,
        tags_key("app"): JSON_HEADERS,
    }
    for key, headers in objects.items():
        store.put(key, BODY, headers)
        there, stored = store.get(key), inner.get(key)
        assert there
        assert stored
        assert there.headers == headers
        assert stored.headers == replace(headers, content_language=str(DIGEST) if key == TAG else "")


@pytest.mark.parametrize("language", ["", "en", str(Digest.of(b"else"))])
def test_a_tag_without_its_digest_has_other_headers_than_those_given(language: str) -> None:
    inner = MemoryStore()
    inner.put(TAG, BODY, replace(HEADERS, content_language=language))
    there = DigestByTag(inner).get(TAG)
    assert there
    assert there.headers == replace(HEADERS, content_language=language or "none")


def test_the_configuration_decides() -> None:
    config = R2("0" * 32, "abc", "default", None, "state")
    off = open_stores(config, CREDENTIALS)
    on = open_stores(replace(config, digest_by_tag=True), CREDENTIALS)
    assert [isinstance(one, DigestByTag) for one in (off.public, on.public, on.state)] == [False, True, False]
    assert on.public.name == off.public.name == "r2://abc"
    assert isinstance(open_stores(Folder(Path("m"), None), {}).public, FolderStore)


def test_a_guard_is_kept() -> None:
    def refuse() -> None:
        raise RuntimeError("not now")

    inner = MemoryStore()
    with pytest.raises(RuntimeError, match="not now"):
        DigestByTag(inner).guarded(refuse).put(TAG, BODY, HEADERS)
    assert inner.get(TAG) is None
