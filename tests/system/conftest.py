"""Fixtures for the real servers and clients of tests/parts.

Servers that start within a tenth of a second are the test's own. SeaweedFS and the R2 simulator take seconds: each
worker process starts one when a test first needs it, and every test gets buckets that are empty.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.parts.docker_registry import DockerRegistry, start_docker_registry
from tests.parts.nginx_edge import Edge, start_nginx_edge
from tests.parts.r2_simulator import start_r2_simulator
from tests.parts.seaweedfs import S3Bucket, empty, new_bucket, s3_store, start_seaweedfs
from tests.parts.skopeo import Skopeo
from tests.world import World


@pytest.fixture
def docker_registry(tmp_path: Path) -> Iterator[DockerRegistry]:
    """An empty registry for this test alone: `.host`, `.url`, `.requests()`."""
    with start_docker_registry(tmp_path / "docker-registry") as registry:
        yield registry


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint URL of this worker's S3 server."""
    with start_seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as endpoint_url:
        yield endpoint_url


@pytest.fixture
def new_s3_bucket(seaweedfs: str) -> Iterator[Callable[[], S3Bucket]]:
    """Makes another empty bucket on SeaweedFS each time it is called."""
    with ExitStack() as buckets:
        yield lambda: buckets.enter_context(new_bucket(seaweedfs, f"test-{uuid.uuid4().hex[:12]}"))


@pytest.fixture
def s3_bucket(new_s3_bucket: Callable[[], S3Bucket]) -> S3Bucket:
    """An empty bucket on SeaweedFS for this test alone; `.public_url` needs no credentials."""
    return new_s3_bucket()


@pytest.fixture(scope="session")
def r2_simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[S3Bucket, ...]]:
    """The buckets of this worker's R2 simulator, which tests before this one may have left something in."""
    with start_r2_simulator(tmp_path_factory.mktemp("r2-simulator")) as buckets:
        yield buckets


@pytest.fixture
def r2_buckets(r2_simulator: tuple[S3Bucket, ...]) -> Iterator[tuple[S3Bucket, S3Bucket]]:
    """Two empty buckets of the R2 simulator, a public one and one for the state, for this test alone."""
    public, state, _ = r2_simulator
    yield public, state
    empty(public)
    empty(state)


@pytest.fixture
def nginx_edge(tmp_path: Path, s3_bucket: S3Bucket) -> Iterator[Edge]:
    """What clients pull from: an edge in front of this test's `s3_bucket`."""
    with start_nginx_edge(tmp_path / "nginx-edge", s3_bucket.public_url) as edge:
        yield edge


@pytest.fixture
def skopeo(tmp_path: Path) -> Skopeo:
    """Runs skopeo over plain http with an empty home folder; the test fails with its words if it fails."""
    home = tmp_path / "skopeo-home"
    home.mkdir()
    return Skopeo(home)


@pytest.fixture
def bucket_world(tmp_path: Path, docker_registry: DockerRegistry, s3_bucket: S3Bucket) -> World:
    """A user who mirrors from the registry into the bucket on SeaweedFS."""
    (tmp_path / "user").mkdir()
    return World(
        tmp_path / "user",
        s3_store(s3_bucket),
        {docker_registry.host: {"plain_http": True}},
        s3_bucket.environ(),
    )
