"""helm against a registry, and against each way to pull from a mirror: the static edge, the Worker and `serve`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from reconciler.oci.spec import OCI_MANIFEST
from tests.parts.caddy_edge import start_caddy_edge
from tests.parts.charts import PACKAGED, chart, serving_charts, write_repository
from tests.parts.kubernetes import helm
from tests.parts.nginx_edge import start_nginx_edge
from tests.parts.r2_simulator import worker_host
from tests.parts.seaweedfs import bucket_store, s3_store
from tests.parts.serving import serving
from tests.world import InProcess

if TYPE_CHECKING:
    import pytest

    from tests.parts.docker_registry import DockerRegistry
    from tests.parts.seaweedfs import S3Bucket

PACKED = chart("web", "1.0.0+build.1", description="A <web> & more", sources=["https://example.com/src"])


def test_helm_pulls_from_each_edge_what_it_would_have_pushed(
    tmp_path: Path,
    docker_registry: DockerRegistry,
    r2_buckets: tuple[S3Bucket, S3Bucket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"HELM_{name}_HOME", str(tmp_path / name))
    pushed = tmp_path / "web-1.0.0+build.1.tgz"
    pushed.write_bytes(PACKED)
    # helm writes the time of the file, r2mirror that within it.
    os.utime(pushed, (PACKAGED, PACKAGED))
    done = helm("push", str(pushed), f"oci://{docker_registry.host}/pushed", "--plain-http")
    assert done.returncode == 0, done.stderr
    bucket = r2_buckets[0]
    for name, value in bucket.environ().items():
        monkeypatch.setenv(name, value)
    (tmp_path / "charts").mkdir()
    write_repository(tmp_path / "charts", {("web", "1.0.0+build.1"): PACKED})
    world = InProcess(tmp_path, s3_store(bucket))
    with serving_charts(tmp_path / "repository", tmp_path / "charts") as host:
        world.mirrors({"source": f"helm:http://{host}//web", "target": "charts/web", "tags": [{"glob": "*"}]})
        world.run("apply", "--yes")
    accept = {"Accept": OCI_MANIFEST}
    theirs = httpx.get(f"{docker_registry.url}/v2/pushed/web/manifests/1.0.0_build.1", headers=accept, trust_env=False)
    with (
        start_nginx_edge(tmp_path / "nginx", bucket.public_url) as nginx,
        start_caddy_edge(tmp_path / "caddy", bucket.public_url) as caddy,
        serving(bucket_store(bucket)) as served,
    ):
        for edge in (nginx.host, caddy.host, served.host, worker_host(bucket)):
            ours = httpx.get(f"http://{edge}/v2/charts/web/manifests/1.0.0_build.1", headers=accept, trust_env=False)
            assert ours.content == theirs.content, edge
            to = tmp_path / edge
            to.mkdir()
            done = helm("pull", f"oci://{edge}/charts/web", "--version", "^1", "--plain-http", "-d", str(to))
            assert done.returncode == 0, (edge, done.stderr)
            assert (to / "web-1.0.0+build.1.tgz").read_bytes() == PACKED
        methods = {(one.method, one.path.rpartition("/")[2].partition(":")[0]) for one in nginx.requests()}
    assert methods == {("GET", "list"), ("GET", "1.0.0_build.1"), ("GET", "sha256")}, "no HEAD, which lacks the digest"
