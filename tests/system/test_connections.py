"""Connections, counted where they arrive: no more at once than allowed, and each used for many requests."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.parts.counting_proxy import counting
from tests.parts.images import Image, image, index, push
from tests.parts.seaweedfs import s3_store
from tests.world import World

if TYPE_CHECKING:
    from tests.parts.docker_registry import DockerRegistry
    from tests.parts.seaweedfs import S3Bucket

TAGS = 12


def app(tag: int) -> Image:
    """Four blobs of its own, of which a layer is larger than what a socket holds."""
    layers = [random.Random(f"{tag} {number}").randbytes(size) for number, size in enumerate((400_000, 10, 100))]
    return index(image(*layers))


@pytest.fixture
def full_registry(docker_registry: DockerRegistry) -> DockerRegistry:
    for tag in range(TAGS):
        push(app(tag), docker_registry.host, "a", str(tag))
    return docker_registry


@pytest.mark.parametrize(("limit", "workers"), [(1, 16), (3, 16), (None, 2)])
def test_no_more_connections_at_once_than_allowed(
    tmp_path: Path, full_registry: DockerRegistry, limit: int | None, workers: int
) -> None:
    with counting(full_registry.host) as connections:
        config = {"plain_http": True, **({"max_connections": limit} if limit else {})}
        world = World(tmp_path, {"type": "file", "path": "./mirror"}, {connections.host: config})
        world.mirrors({"source": f"{connections.host}/a", "tags": [str(tag) for tag in range(TAGS)]})
        world.apply("--workers", str(workers))
    asked = len(full_registry.requests())
    # Without a limit of its own: two blobs at once, as many images, and the tags before that, 16 at once.
    assert connections.most <= (limit or 16)
    assert connections.total <= 2 * (limit or 16), f"for {asked} requests"
    assert asked > 6 * TAGS


def test_connections_to_the_bucket_are_kept(tmp_path: Path, full_registry: DockerRegistry, s3_bucket: S3Bucket) -> None:
    with counting(s3_bucket.endpoint_url.removeprefix("http://")) as connections:
        store = s3_store(s3_bucket) | {"endpoint_url": f"http://{connections.host}"}
        world = World(tmp_path, store, {full_registry.host: {"plain_http": True}}, s3_bucket.environ())
        world.mirrors({"source": f"{full_registry.host}/a", "tags": [str(tag) for tag in range(TAGS)]})
        world.apply("--workers", "4")
    written = len(s3_bucket.stored_keys())
    assert written > 7 * TAGS
    # Threads: 3 for images, 4 for blobs, one that renews the lock, and the main one.
    assert connections.total <= 2 * 9, f"for more than {written} requests"
