"""An image is published from its children to its tags."""

from __future__ import annotations

from reconciler.apply.publish import publish_image
from reconciler.oci.image import read_image
from reconciler.oci.spec import Descriptor, Digest
from reconciler.target.layout import manifest_headers, manifest_key
from reconciler.target.repository import Repository
from tests.memory import MemorySource, MemoryStore, Operation
from tests.parts.images import image, index

AMD64, ARM64 = (image({"a": name}, platform=f"linux/{name}") for name in ("amd64", "arm64/v8"))


def test_publishing_writes_what_is_missing_and_always_the_tags() -> None:
    whole = index(AMD64, ARM64)
    read = read_image(
        MemorySource({"1": whole}).manifest,
        "it",
        Descriptor(whole.media_type, Digest.parse(whole.digest), whole.size),
        lambda one: one.manifests,
    )
    child = Digest.parse(AMD64.digest)
    store = MemoryStore()
    publish_image(Repository(store, "a"), read, ("1", "latest"), {child: AMD64.size})
    assert store.writes == [
        Operation("put", manifest_key("a", reference))
        for reference in (Digest.parse(ARM64.digest), Digest.parse(whole.digest), "1", "latest")
    ]
    assert store.headers[manifest_key("a", "1")] == manifest_headers(whole.media_type, "1")
    assert store.objects[manifest_key("a", "1")] == whole.body
