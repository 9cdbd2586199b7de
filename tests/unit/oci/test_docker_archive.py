"""What `docker load` is told to load: only what it can."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.oci.docker_archive import docker_archive
from reconciler.oci.spec import Descriptor, Digest
from tests.parts.images import (
    OCI_CONFIG,
    ForeignLayer,
    Image,
    artifact,
    attestation,
    build_cache,
    cosign_signature,
    digest_of,
    image,
    index,
)

FILES = {"bin/app": "app"}
AMD, ARM, WINDOWS = (image(FILES, platform=one) for one in ("linux/amd64", "linux/arm64", "windows/amd64"))


def changed(one: Image, change: dict[str, Any], config: dict[str, Any] | None = None) -> Image:
    """The image with other fields in its manifest, or in its configuration."""
    document = {**json.loads(one.body), **change}
    blobs = dict(one.blobs)
    if config is not None:
        body = json.dumps(config).encode()
        document["config"] = {"mediaType": OCI_CONFIG, "digest": digest_of(body), "size": len(body)}
        blobs[digest_of(body)] = body
    return Image(one.media_type, json.dumps(document).encode(), blobs)


def listed(*named: tuple[str, Image], without: str = "") -> list[dict[str, Any]]:
    there: dict[str, bytes] = {}
    for _, one in named:
        there |= one.all_blobs() | {each.digest: each.body for each in one.manifests()}
    there.pop(without, None)
    names = [(name, Descriptor(one.media_type, Digest.parse(one.digest), one.size)) for name, one in named]
    return docker_archive(names, set(map(Digest.parse, there)), lambda one: there.get(str(one.digest)))


def paths(*digests: str) -> list[str]:
    return [f"blobs/{digest.replace(':', '/')}" for digest in digests]


def row(one: Image, *names: str) -> dict[str, Any]:
    document = json.loads(one.body)
    layers = paths(*(layer["digest"] for layer in document["layers"]))
    return {"Config": paths(document["config"]["digest"])[0], "RepoTags": [*names], "Layers": layers}


def test_an_image_is_listed_once_with_all_its_names() -> None:
    assert listed(("a:1", AMD), ("library/b:2", ARM), ("quay.io/a:3", AMD)) == [
        row(AMD, "a:1", "quay.io/a:3"),
        row(ARM, "library/b:2"),
    ]


@pytest.mark.parametrize(
    ("whole", "wanted"),
    [
        (index(ARM, WINDOWS, AMD), AMD),
        (index(attestation(ARM), WINDOWS, ARM, image(FILES, platform="linux/s390x")), ARM),
        (index(AMD, docker=True), AMD),
        (index(WINDOWS), None),
        (index(), None),
        (build_cache(b"layer"), None),
    ],
)
def test_one_platform_of_an_index(whole: Image, wanted: Image | None) -> None:
    assert listed(("a:1", whole)) == ([row(wanted, "a:1")] if wanted else [])


def test_the_platforms_that_the_mirror_leaves_out_are_not_listed() -> None:
    assert listed(("a:1", index(AMD, ARM)), without=AMD.digest) == [row(ARM, "a:1")]


@pytest.mark.parametrize("without", list(AMD.blobs))
def test_an_image_that_is_not_whole_is_left_out(without: str) -> None:
    assert listed(("a:1", AMD), ("b:1", image({"b": "b"})), without=without) == [row(image({"b": "b"}), "b:1")]


@pytest.mark.parametrize(
    "one",
    [
        artifact("application/vnd.example.chart", [("text/plain", b"x")]),
        cosign_signature(b"{}", "c2ln"),
        attestation(AMD),
        WINDOWS,
        image(FILES, ForeignLayer(b"x")),
        changed(
            AMD,
            {
                "layers": [
                    {**json.loads(AMD.body)["layers"][0], "mediaType": "application/vnd.oci.image.layer.v1.tar+zstd"}
                ]
            },
        ),
        changed(AMD, {"layers": []}),
        changed(AMD, {}, {"os": "linux", "rootfs": {"type": "layers", "diff_ids": 1}}),
        changed(AMD, {}, {}),
        Image(AMD.media_type, b"{", {}),
    ],
    ids=[
        "artifact",
        "signature",
        "attestation",
        "windows",
        "foreign",
        "zstd",
        "layers",
        "diff_ids",
        "config",
        "broken",
    ],
)
def test_what_docker_cannot_load_is_left_out(one: Image) -> None:
    assert listed(("a:1", one), ("b:1", AMD)) == [row(AMD, "b:1")]


@pytest.mark.parametrize("name", ["latest", ":1", "a:", "A:1", "a_b.c/d:1", f"{'a' * 64}:1", f"{'a/' * 123}a:1"])
def test_names_that_docker_refuses_are_left_out(name: str) -> None:
    assert listed((name, AMD), ("b:1", AMD)) == [row(AMD, "b:1")]
