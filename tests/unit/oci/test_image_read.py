"""The manifests of an image are read, chosen by platform, and refused when they are not what an index says."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from reconciler.errors import BadAnswer, Malformed, NotFound
from reconciler.oci.image import MAX_IMAGE_MANIFESTS, MAX_INDEX_DEPTH, choose_platforms, missing_blobs, read_image
from reconciler.oci.spec import Descriptor, Digest, Index, Platform, parse_manifest
from tests.memory import MemorySource
from tests.parts.images import Image, artifact, attestation, image, index

AMD64, ARM64, ARMV6 = (image({"a": name}, platform=f"linux/{name}") for name in ("amd64", "arm64/v8", "arm/v6"))
NOTE = artifact()
FULL = index(AMD64, ARM64, ARMV6, attestation(AMD64), attestation(ARM64), NOTE)


def every_manifest(index: Index) -> tuple[Descriptor, ...]:
    return index.manifests


def root(one: Image) -> Descriptor:
    return Descriptor(one.media_type, Digest.parse(one.digest), one.size)


def wanted(*platforms: str) -> tuple[Platform, ...] | None:
    return tuple(Platform.parse(platform) for platform in platforms) or None


def digests(*images: Image) -> list[str]:
    return [one.digest for one in images]


@pytest.mark.parametrize(
    ("whole", "platforms", "chosen"),
    [
        (FULL, (), FULL.children),
        (FULL, ("linux/amd64",), (AMD64, FULL.children[3], NOTE)),
        (FULL, ("linux/arm64",), (ARM64, FULL.children[4], NOTE)),
        (FULL, ("linux/arm/v6",), (ARMV6, NOTE)),
        (FULL, ("linux/arm/v6", "linux/amd64"), (AMD64, ARMV6, FULL.children[3], NOTE)),
        (FULL, ("linux/amd64", "linux/s390x"), (AMD64, FULL.children[3], NOTE)),
        (index(NOTE), ("linux/amd64",), (NOTE,)),
        (index(), ("linux/amd64",), ()),
        (index(index(AMD64), ARM64), ("linux/arm64",), (index(AMD64), ARM64)),
    ],
)
def test_the_manifests_of_the_wanted_platforms_with_their_attestations(
    whole: Image, platforms: tuple[str, ...], chosen: tuple[Image, ...]
) -> None:
    parsed = parse_manifest(whole.body, whole.media_type, "it")
    assert isinstance(parsed, Index)
    assert [str(one.digest) for one in choose_platforms(parsed, wanted(*platforms), "it")] == digests(*chosen)


@pytest.mark.parametrize("platform", ["linux/arm/v7", "windows/amd64", "unknown/unknown"])
def test_no_image_for_any_wanted_platform_is_an_error_that_says_what_there_is(platform: str) -> None:
    parsed = parse_manifest(FULL.body, FULL.media_type, "it")
    assert isinstance(parsed, Index)
    with pytest.raises(Malformed, match=f"no image for {platform}; it has linux/amd64, linux/arm/v6, linux/arm64/v8"):
        choose_platforms(parsed, wanted(platform), "it")


def test_children_come_before_parents_each_once() -> None:
    nested = index(index(AMD64, ARM64), AMD64, index(AMD64, ARM64))
    source = MemorySource({"1": nested})
    read = read_image(source.manifest, "it", root(nested), every_manifest)
    assert [str(m.digest) for m in read.manifests] == digests(AMD64, ARM64, nested.children[0], nested)
    assert source.asked("manifest") == [nested.digest, nested.children[0].digest, AMD64.digest, ARM64.digest]
    assert {str(blob.digest) for blob in read.blobs} == set(nested.all_blobs())
    assert read.root.body == nested.body


@pytest.mark.parametrize(("depth", "good"), [(MAX_INDEX_DEPTH, True), (MAX_INDEX_DEPTH + 1, False)])
def test_indexes_are_followed_so_deep_and_no_deeper(depth: int, good: bool) -> None:
    nested = AMD64
    for _ in range(depth):
        nested = index(nested)
    source = MemorySource({"1": nested})
    if good:
        assert len(read_image(source.manifest, "it", root(nested), every_manifest).manifests) == depth + 1
    else:
        with pytest.raises(Malformed, match="nested more than"):
            read_image(source.manifest, "it", root(nested), every_manifest)


def test_manifests_that_would_fill_the_memory_are_not_fetched() -> None:
    source = MemorySource({"1": AMD64})
    with pytest.raises(Malformed, match="bytes together"):
        read_image(source.manifest, "it", replace(root(AMD64), size=MAX_IMAGE_MANIFESTS + 1), every_manifest)
    assert source.asked("manifest") == []


def test_a_child_that_is_not_what_the_index_says_is_refused() -> None:
    lying = replace(AMD64, media_type="application/vnd.docker.distribution.manifest.v2+json")
    whole = index(lying)
    with pytest.raises(Malformed, match="announced as"):
        read_image(MemorySource({"1": whole}).manifest, "it", root(whole), every_manifest)


def test_a_child_of_another_size_than_the_index_says_is_refused() -> None:
    """Clients refuse it too. That of the root counts for nothing, for a HEAD may have told it."""
    document = json.loads(index(AMD64).body)
    document["manifests"][0]["size"] += 1
    body = json.dumps(document).encode()
    bodies = {Digest.of(body): body, root(AMD64).digest: AMD64.body}
    with pytest.raises(BadAnswer, match=rf"states a size of {AMD64.size + 1} bytes, but it has {AMD64.size}"):
        read_image(lambda one: bodies[one.digest], "it", Descriptor("a/b", Digest.of(body), 1), every_manifest)
    read = read_image(lambda one: bodies[one.digest], "it", replace(root(AMD64), size=1), every_manifest)
    assert read.root.descriptor == root(AMD64)


def test_a_manifest_that_only_its_index_has_is_told_from_one_that_nothing_has() -> None:
    """A mirror of some platforms has the whole index: here amd64 is there, and arm64 is not."""
    whole = index(AMD64, ARM64)
    bodies = {root(whole).digest: whole.body, root(AMD64).digest: AMD64.body}

    def fetch(one: Descriptor) -> bytes:
        if one.digest not in bodies:
            raise NotFound(f"reg.example/app@{one.digest}", "reg.example has no such manifest")
        return bodies[one.digest]

    with pytest.raises(NotFound) as refused:
        read_image(fetch, "reg.example/app:1", root(whole), every_manifest)
    assert str(refused.value).startswith(
        f"reg.example/app:1: its index lists {ARM64.digest} for linux/arm64/v8, and the source does not have it"
    )
    assert "`platforms` in mirrors.yaml" in str(refused.value)
    read = read_image(fetch, "it", root(whole), lambda index: choose_platforms(index, wanted("linux/amd64"), "it"))
    assert digests(AMD64, whole) == [str(one.digest) for one in read.manifests]
    del bodies[root(whole).digest]
    with pytest.raises(NotFound, match=r"^reg\.example/app@sha256:[0-9a-f]{64}: reg\.example has no such manifest$"):
        read_image(fetch, "it", root(whole), every_manifest)


def test_a_blob_of_another_size_is_missing() -> None:
    read = read_image(MemorySource({"1": AMD64}).manifest, "it", root(AMD64), every_manifest)
    there = {blob.digest: blob.size for blob in read.blobs}
    assert missing_blobs(read, there) == ()
    first, second = read.blobs
    assert missing_blobs(read, {**there, first.digest: first.size - 1}) == (first,)
    assert missing_blobs(read, {first.digest: first.size}) == (second,)
