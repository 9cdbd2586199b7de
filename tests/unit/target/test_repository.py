"""A repository of the target in the registry's words: which object each operation means, and its one request."""

from __future__ import annotations

import pytest

from reconciler.errors import PreconditionFailed
from reconciler.oci.referrers import fallback_tag
from reconciler.oci.spec import OCI_MANIFEST, Descriptor, Digest, parse_manifest
from reconciler.target.in_store import InStore
from reconciler.target.layout import BLOB_HEADERS, BlobKey, Key, ManifestKey, manifest_headers, parse_key, referrers_key
from reconciler.target.protocol import Referrers
from reconciler.target.repository import Repository
from tests.memory import MemoryStore, Operation
from tests.parts.images import artifact, image

BODY = b"{}"
DIGEST = Digest.of(BODY)
BLOB = Descriptor("application/octet-stream", Digest.of(b"blob"), 4)
BLOB_KEY, DIGEST_KEY, TAG_KEY = f"v2/a/blobs/{BLOB.digest}", f"v2/a/manifests/{DIGEST}", "v2/a/manifests/1"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def repository(store: MemoryStore) -> Repository:
    return Repository(store, "a")


def test_what_was_put_is_there_under_its_key_and_headers(store: MemoryStore, repository: Repository) -> None:
    repository.put_blob(BLOB, lambda: iter([b"blob"]))
    repository.put_manifest(DIGEST, BODY, OCI_MANIFEST)
    repository.put_tag("1", BODY, OCI_MANIFEST, is_new=True)
    assert store.operations == [Operation("upload", BLOB_KEY), Operation("put", DIGEST_KEY), Operation("put", TAG_KEY)]
    assert store.headers[BLOB_KEY] == BLOB_HEADERS
    assert store.headers[DIGEST_KEY] == manifest_headers(OCI_MANIFEST, DIGEST)
    assert store.headers[TAG_KEY] == manifest_headers(OCI_MANIFEST, "1")
    assert repository.manifest_body(DIGEST) == repository.manifest_body("1") == BODY
    assert repository.has_manifest(DIGEST)
    assert b"".join(repository.blob(BLOB.digest) or ()) == b"blob"
    there = repository.inventory()
    assert (there.blobs, there.manifests, there.tags) == ({BLOB.digest: 4}, {DIGEST: 2}, {"1": 2})
    assert repository.blobs() == there.blobs


def test_what_is_not_there_is_none(repository: Repository) -> None:
    assert repository.manifest("1") is None
    assert repository.manifest_body(DIGEST) is None
    assert repository.blob(DIGEST) is None
    assert repository.referrers(DIGEST) is None
    assert not repository.has_manifest(DIGEST)
    assert not repository.mount_blob(BLOB, "b")


def test_a_tag_that_is_right_is_not_written_again(store: MemoryStore, repository: Repository) -> None:
    repository.put_tag("1", BODY, OCI_MANIFEST)
    repository.put_tag("1", BODY, OCI_MANIFEST)
    assert store.writes == [Operation("put", TAG_KEY)]
    repository.put_tag("1", b"other", OCI_MANIFEST)
    assert store.objects[TAG_KEY] == b"other"


def test_a_tag_that_appeared_since_the_listing_is_not_overwritten(store: MemoryStore, repository: Repository) -> None:
    store.objects[TAG_KEY] = b"another run's"
    with pytest.raises(PreconditionFailed):
        repository.put_tag("1", BODY, OCI_MANIFEST, is_new=True)
    assert store.objects[TAG_KEY] == b"another run's"


def test_a_blob_is_mounted_from_another_repository(store: MemoryStore, repository: Repository) -> None:
    store.objects[f"v2/b/blobs/{BLOB.digest}"] = b"blob"
    assert repository.mount_blob(BLOB, "b")
    assert store.objects[BLOB_KEY] == b"blob"


def test_a_list_of_referrers_is_published_before_it_is_found(store: MemoryStore, repository: Repository) -> None:
    subject = image({"layer": "x"})
    referrer = artifact("application/vnd.example.signature", subject=subject)
    digest = Digest.parse(subject.digest)
    entry = (Digest.parse(referrer.digest), referrer.size, parse_manifest(referrer.body, referrer.media_type, "it"))
    wanted = Referrers(digest, (entry,))
    assert [why for _, why in repository.wrong_referrers(wanted)] == ["is missing"] * 3
    repository.publish_referrers(wanted)
    assert [operation.key for operation in store.writes][1:] == [
        f"v2/a/manifests/{fallback_tag(digest)}",
        referrers_key("a", digest),
    ]
    assert repository.subjects() == {digest}
    assert list(repository.wrong_referrers(wanted)) == []
    repository.publish_referrers(wanted)
    assert len(store.writes) == 3


def test_deleting_takes_one_call_for_all_repositories(store: MemoryStore) -> None:
    keys: list[Key] = [ManifestKey("a", "1"), BlobKey("b", BLOB.digest)]
    store.objects |= dict.fromkeys(map(str, keys), b"")
    InStore(store, store).delete(keys)
    assert not store.objects
    assert [parse_key(str(key)) for key in keys] == keys
