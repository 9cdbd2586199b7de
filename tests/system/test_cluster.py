"""Blobs copied by other processes: the same guarantees, also when one of them is killed half-way."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler import __version__
from reconciler.apply.blob_transfer import Moved, Transfer
from reconciler.apply.cluster import Cluster, WorkerConfig, carry, check_versions, connected
from reconciler.errors import ClusterError, ExtraMissing, LockLost, NotFound, UsageError
from reconciler.oci.spec import Descriptor, Digest
from reconciler.sources.config import RegistryConfig
from reconciler.stores.buckets import S3
from reconciler.stores.folder import Folder, FolderStore
from reconciler.target.layout import blob_key
from reconciler.target.lock import held
from tests.parts.dask_cluster import start_dask_cluster
from tests.parts.images import image, index, push
from tests.parts.seaweedfs import s3_store
from tests.world import World, from_url, walk

if TYPE_CHECKING:
    from tests.parts.docker_registry import DockerRegistry
    from tests.parts.seaweedfs import S3Bucket

HERE = WorkerConfig(Folder(Path("unused"), None), ())
LARGE = 9 * 1024 * 1024
"""Bytes: more than a part."""


def downloads(registry: DockerRegistry) -> Counter[str]:
    """Digest -> how often a blob was asked for."""
    paths = [request.path for request in registry.requests() if request.method == "GET" and "/a/blobs/" in request.path]
    return Counter(path.rpartition("/")[2] for path in paths)


def test_a_worker_killed_half_way_costs_nothing_but_its_blobs(
    tmp_path: Path, docker_registry: DockerRegistry, s3_bucket: S3Bucket
) -> None:
    """Everything is whole, no blob is downloaded more than twice, and nothing half done is left."""
    layers = [random.Random(number).randbytes(LARGE) for number in range(3)]
    images = {"1": index(image(*layers[:2])), "2": index(image(*layers[1:]))}
    for tag, one in images.items():
        push(one, docker_registry.host, "a", tag)
    (tmp_path / "user").mkdir()
    world = World(
        tmp_path / "user", s3_store(s3_bucket), {docker_registry.host: {"plain_http": True}}, s3_bucket.environ()
    )
    world.mirrors(
        *({"source": f"{docker_registry.host}/a", "target": target, "tags": ["1", "2"]} for target in ("a", "b"))
    )
    client = s3_bucket.client()

    def unfinished() -> int:
        return len(client.list_multipart_uploads(Bucket=s3_bucket.bucket).get("Uploads", []))

    with start_dask_cluster(tmp_path / "dask", 2, s3_bucket.environ()) as cluster:
        run = subprocess.Popen(
            world.command("apply", "--yes", "--dask", cluster.address, "--dask-insecure", "--bandwidth", "15MiB/s"),
            cwd=world.folder,
            env=world.environment | {"PYTHONWARNINGS": "default"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        while run.poll() is None and unfinished() < 2:
            time.sleep(0.05)
        os.kill(cluster.workers[0], signal.SIGKILL)
        told, _ = run.communicate(timeout=60)
    assert run.returncode == 0, told
    read = cache(from_url(s3_bucket.public_url))
    for target in ("a", "b"):
        for tag, one in images.items():
            assert set(one.all_blobs()) <= walk(read, target, tag)
    asked = downloads(docker_registry)
    assert set(asked) == {digest for one in images.values() for digest in one.all_blobs()}
    assert max(asked.values()) == 2, "the blob of the worker that was killed"
    assert unfinished() == 0
    assert "1 unfinished upload removed" in told
    assert world.plan()["summary"]["unchanged"] == 4


@contextmanager
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        yield executor


@pytest.fixture
def blob(docker_registry: DockerRegistry) -> Transfer:
    """A blob that is at the registry, and is to get into a repository."""
    one = image({"a": "file"})
    push(one, docker_registry.host, "a", "1")
    digest, body = next(iter(one.blobs.items()))
    descriptor = Descriptor("application/octet-stream", Digest.parse(digest), len(body))
    return Transfer("a:1", f"{docker_registry.host}/a", "mirror/a", descriptor)


def config(store: Path, registry: DockerRegistry) -> WorkerConfig:
    return WorkerConfig(Folder(store, None), ((registry.host, RegistryConfig(plain_http=True)),))


def test_any_executor_will_do(tmp_path: Path, docker_registry: DockerRegistry, blob: Transfer) -> None:
    store = FolderStore(tmp_path / "store")
    with processes() as executor, held(store, "apply") as lease:
        cluster = Cluster(executor, config(tmp_path / "store", docker_registry), 1)
        assert cluster.carry(blob, lease.owner, lambda: None) is Moved.SENT
        there, nowhere = replace(blob, target="b", holder="mirror/a"), replace(blob, target="c", holder="nothing/there")
        assert cluster.carry(there, lease.owner, lambda: None) is Moved.SPARED
        assert cluster.carry(nowhere, lease.owner, lambda: None) is Moved.LACKING
        with pytest.raises(NotFound, match=f"{docker_registry.host}/none"):
            cluster.carry(replace(blob, source=f"{docker_registry.host}/none"), lease.owner, lambda: None)
        executor.submit(os._exit, 1).exception()
        with pytest.raises(ClusterError, match=r"^a:1: no worker could carry it: BrokenProcessPool: "):
            cluster.carry(blob, lease.owner, lambda: None)
    for target in ("mirror/a", "b"):
        found = store.get(blob_key(target, blob.blob.digest))
        assert found
        assert blob.blob.digest.matches(found.body)
    assert downloads(docker_registry)[str(blob.blob.digest)] == 1


def test_a_worker_writes_nothing_where_it_does_not_see_our_lock(
    tmp_path: Path, docker_registry: DockerRegistry, blob: Transfer
) -> None:
    """Its folder is another one than ours, or somebody has taken the lock over."""
    with held(FolderStore(tmp_path / "ours"), "apply") as lease:
        with pytest.raises(LockLost, match="every worker has to reach the same bucket"):
            carry(config(tmp_path / "theirs", docker_registry), lease.owner, blob)
        with pytest.raises(LockLost, match="now it is held by 'apply' on"):
            carry(config(tmp_path / "ours", docker_registry), "somebody else", blob)
    for folder in ("ours", "theirs"):
        assert list(FolderStore(tmp_path / folder).list("v2/")) == []


def test_what_a_worker_is_told_has_no_secret_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY", "HUB_PASSWORD"):
        monkeypatch.setenv(name, "hunter2")
    told = WorkerConfig(S3("b", None, None, None, None), (("docker.io", RegistryConfig("HUB_USER", "HUB_PASSWORD")),))
    assert b"hunter2" not in pickle.dumps(told)
    assert pickle.loads(pickle.dumps(told)) == told


def test_limits_are_divided_among_the_workers() -> None:
    registries = (
        ("a", RegistryConfig(max_connections=8)),
        ("b", RegistryConfig(max_connections=2, rate=6.0)),
        ("c", RegistryConfig()),
    )
    shared = WorkerConfig(Folder(Path("x"), None), registries, 9e6).share(3)
    assert shared.bandwidth == 3e6
    assert [config.max_connections for _, config in shared.registries] == [2, 1, None]
    assert [config.rate for _, config in shared.registries] == [None, 2.0, None]
    assert HERE.share(3).bandwidth is None


def test_a_source_with_a_folder_after_it_is_read_here() -> None:
    fallbacks = (("a.example/x", ("b.example/x",)), ("a.example/y", ("oci:./y",)))
    told = replace(HERE, fallbacks=fallbacks)
    assert not told.is_of_this_machine("a.example/x")
    assert told.is_of_this_machine("a.example/y")
    assert told.is_of_this_machine("oci:./z")


def test_workers_of_another_release_are_refused_by_name() -> None:
    check_versions("tcp://s:1", {"tcp://w:1": __version__})
    with pytest.raises(
        ClusterError, match=r"^tcp://s:1: 1 of 2 workers will not do: tcp://w:2 has r2mirror 0\.0\.1; ins"
    ):
        check_versions("tcp://s:1", {"tcp://w:1": __version__, "tcp://w:2": "0.0.1"})
    with pytest.raises(ClusterError, match=r"cannot import r2mirror .*No module named"):
        check_versions("tcp://s:1", {"tcp://w:1": ModuleNotFoundError("No module named 'reconciler'")})
    with pytest.raises(ClusterError, match="has no workers"):
        check_versions("tcp://s:1", {})


@pytest.mark.parametrize("address", ["scheduler", "scheduler:8786", "tcp://scheduler", "http://scheduler:8786"])
def test_an_invalid_address_is_refused_before_anything_is_sent(address: str) -> None:
    with pytest.raises(UsageError, match="not the address of a scheduler"), connected(address, HERE):
        pass


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:8786", "ucx://scheduler:8786", "ws://scheduler:8786"])
def test_a_scheduler_that_anybody_can_pretend_to_be_has_to_be_allowed(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(UsageError, match=r"can run programs in this process.*--dask-insecure"),
        connected(address, HERE),
    ):
        pass
    installing = pytest.raises(ExtraMissing, match="extra `dask`")
    with installing, connected(address, HERE, insecure=True):
        pass
    with installing, connected("wss://scheduler:8786", HERE):
        pass


def test_tls_without_certificates_is_an_error_that_names_the_settings() -> None:
    words = r"tls://127\.0\.0\.1:1: .*DASK_DISTRIBUTED__COMM__TLS__CA_FILE"
    with pytest.raises(ClusterError, match=words), connected("tls://127.0.0.1:1", HERE):
        pass


def test_without_dask_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ExtraMissing, match="extra `dask`"), connected("tls://scheduler:8786", HERE):
        pass
