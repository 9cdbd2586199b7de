"""How much a client downloads of an image, computed from its manifests."""

from __future__ import annotations

import pytest

from reconciler.oci.platform_sizes import MAX_PLATFORMS, UNKNOWN, downloads, is_platform_name
from reconciler.oci.spec import Digest, parse_manifest
from tests.parts.images import ForeignLayer, Image, attestation, image, index

AMD64 = image({"a": "shared"}, {"a": "amd64" * 100}, platform="linux/amd64")
ARM64 = image({"a": "shared"}, {"a": "arm64"}, platform="linux/arm64/v8")


def told(root: Image, *left_out: Image) -> dict[str, int] | None:
    manifests = {one.digest: one for one in root.manifests() if one not in left_out}
    parsed = {Digest.parse(d): parse_manifest(one.body, one.media_type, d) for d, one in manifests.items()}
    return downloads(Digest.parse(root.digest), parsed)


def size(one: Image) -> int:
    return sum(map(len, one.blobs.values()))


def test_an_index_names_its_platforms() -> None:
    assert told(index(ARM64, AMD64)) == {"linux/amd64": size(AMD64), "linux/arm64/v8": size(ARM64)}
    assert list(told(index(ARM64, AMD64)) or ()) == ["linux/amd64", "linux/arm64/v8"], "sorted"


def test_a_single_manifest_has_a_size_and_no_platform() -> None:
    assert told(AMD64) == {UNKNOWN: size(AMD64)}


def test_attestations_are_not_counted_and_neither_is_what_is_not_mirrored() -> None:
    assert told(index(AMD64, ARM64, attestation(AMD64)), ARM64) == {"linux/amd64": size(AMD64)}


def test_foreign_layers_are_not_downloaded_from_here() -> None:
    windows = image({"a": "1"}, ForeignLayer(b"x" * 999), platform="windows/amd64")
    assert told(index(windows)) == {"windows/amd64": size(windows)}


def test_a_layer_that_is_there_twice_is_downloaded_once() -> None:
    twice = image({"a": "1"}, {"a": "1"})
    assert told(twice) == {UNKNOWN: size(twice)}


def test_of_two_for_one_platform_the_largest_counts() -> None:
    small, large = (image({"a": "x" * length}, platform="windows/amd64") for length in (1, 5000))
    assert size(small) < size(large)
    assert told(index(large, small)) == {"windows/amd64": size(large)}


def test_an_index_in_an_index_is_followed() -> None:
    assert told(index(index(AMD64), ARM64)) == {"linux/amd64": size(AMD64), "linux/arm64/v8": size(ARM64)}


def test_nothing_is_told_of_nothing_or_of_too_much() -> None:
    assert told(index(AMD64), AMD64) is None
    many = [image({"a": str(number)}, platform=f"linux/a{number}") for number in range(MAX_PLATFORMS + 1)]
    assert len(told(index(*many[:-1])) or ()) == MAX_PLATFORMS
    assert told(index(*many)) is None


@pytest.mark.parametrize(
    ("text", "valid"),
    [("linux/amd64", True), (UNKNOWN, True), ("linux", False), ("a/b/c/d", False), ("<b>/x", False), ("", False)],
)
def test_names_of_platforms(text: str, valid: bool) -> None:
    assert is_platform_name(text) == valid
