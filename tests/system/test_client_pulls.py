"""Real clients, configured with exactly what `r2mirror client-config` prints, pull every shape of image from a mirror.

Docker Hub (a docker-registry that clients reach by that name) -> `r2mirror apply` -> SeaweedFS -> nginx as the edge ->
dockerd, containerd, podman, skopeo. All tests of a process share one of each. They pull from the Worker too, in front of
Cloudflare's simulator of R2 with the same objects.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from reconciler.oci.spec import ACCEPT
from tests.parts.clients import ClientRefused, Docker, Podman, new_podman, start_containerd, start_dockerd
from tests.parts.docker_hub import DockerHub, start_docker_hub
from tests.parts.images import Image, attestation, digest_of, image, index, push, write_layout
from tests.parts.nginx_edge import Edge, start_nginx_edge
from tests.parts.process import free_port
from tests.parts.r2_simulator import worker_host
from tests.parts.seaweedfs import S3Bucket, bucket_store, empty, new_bucket
from tests.parts.skopeo import Skopeo
from tests.world import World

HERE, ELSEWHERE = ("linux/arm64", "linux/amd64") if platform.machine() == "aarch64" else ("linux/amd64", "linux/arm64")


def shape(name: str, *, docker: bool = False, at: str = HERE) -> Image:
    """An image that no other has a layer of, so that its pull fetches everything."""
    return image({"etc/name": f"{name} {at}"}, {"bin/app": f"{name} {at} app"}, platform=at, docker=docker)


ATTESTED = shape("attested")
SHAPES = {
    "oci-index": index(shape("oci-index"), shape("oci-index", at=ELSEWHERE)),
    "docker-list": index(
        shape("docker-list", docker=True), shape("docker-list", docker=True, at=ELSEWHERE), docker=True
    ),
    "oci-manifest": shape("oci-manifest"),
    "docker-v2s2": shape("docker-v2s2", docker=True),
    "attested": index(ATTESTED, attestation(ATTESTED)),
}
SPARSE = index(shape("sparse"), shape("sparse", at=ELSEWHERE))
OTHERS = index(shape("others"), shape("others", at=ELSEWHERE))
LATER, UNKNOWN, TEAM, TEAM_LATER, OLD = map(shape, ("later", "unknown", "team", "team-later", "old"))
ALL_SHAPES = (*SHAPES, "zstd")


@dataclass(frozen=True)
class Mirror:
    """A mirror that has been applied: `digests` of the tags of docker.io/library/shapes, as the source has them.

    `down` is the user of another that has the same repositories, and a public_url where nobody answers; `worker` only
    passes requests on to a Worker.
    """

    world: World
    down: World
    hub: DockerHub
    edge: Edge
    digests: Mapping[str, str]
    worker: Edge

    def at_worker(self, *tags: str) -> dict[str, str]:
        """Images at the Worker, each with its digest."""
        return {f"{self.worker.host}/library/shapes:{tag}": self.digests[tag] for tag in tags}

    @contextlib.contextmanager
    def watched(self) -> Iterator[Watched]:
        """Sees what the edge serves; the source must not be asked for anything."""
        self.hub.connects.clear()
        asked = len(self.hub.registry.requests())
        yield Watched(self.edge, len(self.edge.requests()))
        assert self.hub.connects == []
        assert self.hub.registry.requests()[asked:] == []


@dataclass(frozen=True)
class Watched:
    edge: Edge
    since: int

    def served(self) -> set[str]:
        """The paths below /v2/ that the edge has answered with 200, queries left out."""
        requests = self.edge.requests()[self.since :]
        return {one.path.partition("?")[0].removeprefix("/v2/") for one in requests if one.status == 200}

    def assert_pulled(self, shapes: Mapping[str, Image]) -> None:
        """That every blob for this machine's platform came from the edge."""
        for one in shapes.values():
            here = one.children[0] if one.children else one
            assert {f"library/shapes/blobs/{digest}" for digest in here.blobs} <= self.served()


def client_config(world: World, client: str) -> dict[str, Any]:
    document = json.loads(printed(world.folder, client))
    assert isinstance(document, dict)
    return document


@cache
def printed(folder: Path, client: str) -> str:
    return World(folder, {}).run("client-config", client, "--format", "json").stdout


def the_file(world: World, client: str) -> str:
    """The one file that is printed for this client; Docker's other files are containerd's."""
    files = client_config(world, client)["files"]
    (file,) = (file for file in files if client != "docker" or file["path"].endswith("/daemon.json"))
    content = file["content"]
    assert isinstance(content, str)
    return content


@pytest.fixture(scope="module")
def mirror(
    tmp_path_factory: pytest.TempPathFactory, seaweedfs: str, r2_simulator: tuple[S3Bucket, ...]
) -> Iterator[Mirror]:
    folder = tmp_path_factory.mktemp("clients")
    with (
        start_docker_hub(folder / "hub") as hub,
        new_bucket(seaweedfs, f"clients-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}") as bucket,
        start_nginx_edge(folder / "edge", bucket.public_url) as edge,
    ):
        fill(hub, folder)
        host = hub.registry.host
        (folder / "user").mkdir()
        store = {
            "type": "s3",
            "bucket": bucket.bucket,
            "region": bucket.region,
            "endpoint_url": bucket.endpoint_url,
            "public_url": edge.url,
        }
        registries = {"docker.io": {"ca_file": str(hub.ca_file)}, host: {"plain_http": True}}
        environ = {**bucket.environ(), "HTTPS_PROXY": hub.proxy}
        (folder / "down").mkdir()
        world = World(folder / "user", store, registries, environ)
        down = World(folder / "down", {**store, "public_url": f"http://127.0.0.1:{free_port()}"}, registries)
        entries: tuple[dict[str, Any], ...] = (
            {"source": "docker.io/library/shapes", "tags": list(ALL_SHAPES)},
            {"source": "docker.io/library/sparse", "tags": ["1"], "platforms": [HERE]},
            {"source": "docker.io/library/elsewhere", "tags": ["1"], "platforms": [ELSEWHERE]},
            {"source": f"{host}/team/app", "target": "other.registry/team/app", "tags": ["1"]},
            {"source": f"{host}/team/old", "target": "renamed.registry/new", "tags": ["1"]},
        )
        world.mirrors(*entries)
        down.mirrors(*entries)
        assert world.apply()["summary"] == {"done": len(ALL_SHAPES) + 4, "failed": 0, "skipped": 0}
        digests = {tag: source_digest(hub, "library/shapes", tag) for tag in ALL_SHAPES}
        assert digests["oci-index"] == SHAPES["oci-index"].digest
        with (
            copied(bucket, r2_simulator[0]) as host,
            start_nginx_edge(folder / "worker", f"http://{host}", ()) as worker,
        ):
            yield Mirror(world, down, hub, edge, digests, worker)


@contextlib.contextmanager
def copied(bucket: S3Bucket, to: S3Bucket) -> Iterator[str]:
    """Copies all objects into the bucket behind the Worker; yields the Worker's host.

    nginx stands before it, as Cloudflare's edge does: clients try TLS first, which the simulator does not refuse at once.
    """
    source, target = bucket_store(bucket), bucket_store(to)
    for key in bucket.stored_keys():
        found = source.get(key)
        assert found
        assert found.headers
        target.put(key, found.body, found.headers)
    yield worker_host(to)
    empty(to)


def fill(hub: DockerHub, folder: Path) -> None:
    """Puts every shape into the source, and what the mirror will not have: tags `later`, the repository `unknown`."""
    host = hub.registry.host
    for tag, one in SHAPES.items():
        push(one, host, "library/shapes", tag)
    (folder / "skopeo").mkdir()
    write_layout(folder / "layout", {"zstd": shape("zstd")})
    Skopeo(folder / "skopeo")(
        "copy", "--dest-compress-format", "zstd", f"oci:{folder}/layout:zstd", f"docker://{host}/library/shapes:zstd"
    )
    for repository, tag, one in (
        ("library/shapes", "later", LATER),
        ("library/unknown", "1", UNKNOWN),
        ("library/sparse", "1", SPARSE),
        ("library/elsewhere", "1", OTHERS),
        ("team/app", "1", TEAM),
        ("team/app", "later", TEAM_LATER),
        ("team/old", "1", OLD),
    ):
        push(one, host, repository, tag)


def source_digest(hub: DockerHub, repository: str, tag: str) -> str:
    url = f"{hub.registry.url}/v2/{repository}/manifests/{tag}"
    return digest_of(httpx.get(url, headers={"Accept": ACCEPT}, trust_env=False).raise_for_status().content)


def test_dockerd_pulls_every_shape_directly_and_as_a_mirror_of_docker_hub(mirror: Mirror, tmp_path: Path) -> None:
    with start_dockerd(tmp_path, mirror.hub.environ) as docker:
        docker.reload(the_file(mirror.world, "docker"))
        with mirror.watched() as watched:
            for tag in SHAPES:
                assert docker.pull(f"{mirror.edge.host}/library/shapes:{tag}") == mirror.digests[tag]
            watched.assert_pulled(SHAPES)
        docker.remove_all()

        with mirror.watched() as watched:
            for tag in SHAPES:
                assert docker.pull(f"shapes:{tag}") == mirror.digests[tag]
            assert docker.pull("sparse:1") == SPARSE.digest
            watched.assert_pulled(SHAPES)

        assert docker.pull("shapes:later") == LATER.digest, "what the mirror lacks comes from Docker Hub"
        assert docker.pull("unknown:1") == UNKNOWN.digest
        assert docker.pull("elsewhere:1") == OTHERS.digest, "and so does a platform that it leaves out"
        assert set(mirror.hub.connects) == {"registry-1.docker.io:443"}
        assert_zstd(docker, mirror)

        docker.remove_all()
        for name, digest in mirror.at_worker(*SHAPES).items():
            assert docker.pull(name) == digest

        docker.remove_all()
        assert_loads(docker, mirror, tmp_path)

        docker.remove_all()
        docker.reload(the_file(mirror.down, "docker"))
        assert docker.pull("sparse:1") == SPARSE.digest, "and everything while the mirror is down"


def assert_zstd(docker: Docker, mirror: Mirror) -> None:
    """A daemon of 20.10 cannot unpack zstd, wherever it comes from; newer ones can."""
    if not docker("version", "--format", "{{.Server.Version}}").startswith("20.10."):
        assert docker.pull("shapes:zstd") == mirror.digests["zstd"]
        return
    for name in ("shapes:zstd", f"{mirror.hub.registry.host}/library/shapes:zstd"):
        with pytest.raises(ClientRefused, match="failed to register layer"):
            docker.pull(name)


def assert_loads(docker: Docker, mirror: Mirror, folder: Path) -> None:
    """The daemon loads one platform of each image from a tar that apply wrote, but for those that it cannot unpack."""
    hub = mirror.hub
    world = World(folder, {"type": "oci", "path": "./images.tar"}, mirror.world.registries, mirror.world.environ)
    world.mirrors(
        {"source": "docker.io/library/shapes", "tags": list(ALL_SHAPES)},
        {"source": "docker.io/library/elsewhere", "tags": ["1"], "platforms": ["linux/arm64"]},
        {"source": f"{hub.registry.host}/team/app", "target": "other.registry/team/app", "tags": ["1"]},
    )
    world.apply()
    loaded = re.findall(r"Loaded image: (\S+)", docker("load", "--input", str(folder / "images.tar")))
    assert sorted(loaded) == ["elsewhere:1", "other.registry/team/app:1", *(f"shapes:{tag}" for tag in sorted(SHAPES))]
    # Images are known by their configuration: it is the one of the source, whatever way it has come.
    (amd64,) = (one for one in SHAPES["oci-index"].children if one.entry["platform"]["architecture"] == "amd64")
    wanted = json.loads(amd64.body)["config"]["digest"]
    assert docker("image", "inspect", "--format", "{{.Id}}", "shapes:oci-index").strip() == wanted


def test_containerd_pulls_every_shape_directly_and_through_hosts_toml(mirror: Mirror, tmp_path: Path) -> None:
    hosts, down = (certs_d(tmp_path / str(number), world) for number, world in enumerate((mirror.world, mirror.down)))
    upstream = mirror.hub.registry.host
    with start_containerd(tmp_path / "containerd", mirror.hub.environ) as ctr:
        with mirror.watched() as watched:
            for tag in ALL_SHAPES:
                assert ctr.pull(f"{mirror.edge.host}/library/shapes:{tag}", hosts) == mirror.digests[tag]
            watched.assert_pulled(SHAPES)
        ctr.remove_all()

        with mirror.watched() as watched:
            for tag in ALL_SHAPES:
                assert ctr.pull(f"docker.io/library/shapes:{tag}", hosts) == mirror.digests[tag]
            assert ctr.pull("docker.io/library/sparse:1", hosts) == SPARSE.digest
            assert ctr.pull(f"{upstream}/team/app:1", hosts) == TEAM.digest
            watched.assert_pulled(SHAPES)
            assert {f"other.registry/team/app/blobs/{digest}" for digest in TEAM.blobs} <= watched.served()

        assert ctr.pull("docker.io/library/shapes:later", hosts) == LATER.digest
        assert ctr.pull("docker.io/library/unknown:1", hosts) == UNKNOWN.digest
        assert ctr.pull("docker.io/library/elsewhere:1", hosts) == OTHERS.digest
        assert ctr.pull(f"{upstream}/team/app:later", hosts) == TEAM_LATER.digest
        ctr.remove_all()
        asked = len(mirror.worker.requests())
        for name, digest in mirror.at_worker(*ALL_SHAPES).items():
            assert ctr.pull(name, hosts) == digest
        got = {one.path for one in mirror.worker.requests()[asked:] if one.method == "GET"}
        assert got.isdisjoint(f"/v2/library/shapes/manifests/{tag}" for tag in ALL_SHAPES), "HEAD had the digest"
        ctr.remove_all()
        assert ctr.pull("docker.io/library/sparse:1", down) == SPARSE.digest


@pytest.fixture
def podman(mirror: Mirror) -> Iterator[Podman]:
    """podman with the registries.conf that is printed for it."""
    with new_podman(the_file(mirror.world, "podman"), mirror.hub.environ) as podman:
        yield podman


def test_podman_pulls_every_shape_directly_and_through_registries_conf(mirror: Mirror, podman: Podman) -> None:
    direct = {f"{mirror.edge.host}/library/shapes:{tag}": mirror.digests[tag] for tag in ALL_SHAPES}
    through = {f"docker.io/library/shapes:{tag}": mirror.digests[tag] for tag in ALL_SHAPES}
    through["docker.io/library/sparse:1"] = SPARSE.digest
    for images in (direct, through):
        with mirror.watched() as watched:
            pulled = podman.pull(*images)
            assert {image for image, digest in images.items() if digest not in pulled[image]} == set()
            watched.assert_pulled(SHAPES)
        podman.remove_all()
    with podman.registries_conf.open("a") as conf:
        conf.write(f'\n[[registry]]\nlocation = "{mirror.worker.host}"\ninsecure = true\n')
    at_worker = mirror.at_worker(*ALL_SHAPES)
    pulled = podman.pull(*at_worker)
    assert all(digest in pulled[image] for image, digest in at_worker.items())


def test_podman_finds_a_registry_below_a_prefix_a_renamed_repository_and_what_the_mirror_lacks(
    mirror: Mirror, podman: Podman
) -> None:
    upstream = mirror.hub.registry.host
    with mirror.watched() as watched:
        images = {f"{upstream}/team/app:1": TEAM, f"{upstream}/team/old:1": OLD}
        pulled = podman.pull(*images)
        assert all(one.digest in pulled[image] for image, one in images.items())
        assert {f"other.registry/team/app/blobs/{digest}" for digest in TEAM.blobs} <= watched.served()
        assert {f"renamed.registry/new/blobs/{digest}" for digest in OLD.blobs} <= watched.served()
    lacking = {
        "docker.io/library/shapes:later": LATER,
        "docker.io/library/unknown:1": UNKNOWN,
        f"{upstream}/team/app:later": TEAM_LATER,
    }
    pulled = podman.pull(*lacking)
    assert all(one.digest in pulled[image] for image, one in lacking.items())
    with pytest.raises(ClientRefused, match=mirror.edge.host):
        podman.pull("docker.io/library/elsewhere:1")
    podman.registries_conf.write_text(the_file(mirror.down, "podman"))
    assert SPARSE.digest in podman.pull("docker.io/library/sparse:1")["docker.io/library/sparse:1"]
    assert any("does not fall back to the source" in note for note in client_config(mirror.world, "podman")["notes"])


def test_skopeo_reads_every_shape_directly_and_through_registries_conf(mirror: Mirror, tmp_path: Path) -> None:
    conf = tmp_path / "registries.conf"
    conf.write_text(the_file(mirror.world, "podman"))
    through, upstream = Skopeo(tmp_path, ("--registries-conf", str(conf))), mirror.hub.registry.host
    for skopeo, host in ((Skopeo(tmp_path), mirror.edge.host), (through, "docker.io")):
        with mirror.watched() as watched:
            for tag in ALL_SHAPES:
                raw = skopeo("inspect", "--raw", f"docker://{host}/library/shapes:{tag}")
                assert digest_of(raw.encode()) == mirror.digests[tag]
                skopeo("copy", f"docker://{host}/library/shapes:{tag}", f"dir:{tmp_path}/{host}-{tag}")
            watched.assert_pulled(SHAPES)
    for name, digest in mirror.at_worker(*ALL_SHAPES).items():
        inspected = json.loads(Skopeo(tmp_path)("inspect", f"docker://{name}"))
        assert (inspected["Digest"], "oci-index" in inspected["RepoTags"]) == (digest, True)
        Skopeo(tmp_path)("copy", f"docker://{name}", f"dir:{tmp_path}/worker-{name.rpartition(':')[2]}")
    for tag, one in (("1", TEAM), ("later", TEAM_LATER)):
        assert through("inspect", "--raw", f"docker://{upstream}/team/app:{tag}").encode() == one.body


def test_the_daemon_set_writes_the_hosts_files_of_containerd(mirror: Mirror, tmp_path: Path) -> None:
    config_map, daemon_set = YAML(typ="safe").load_all(the_file(mirror.world, "kubernetes"))
    (container,) = daemon_set["spec"]["template"]["spec"]["containers"]
    (tmp_path / "config").mkdir()
    for key, content in config_map["data"].items():
        assert re.fullmatch(r"[-._a-zA-Z0-9]+", key)
        (tmp_path / "config" / key).write_text(content)
    shell, flags, script = container["command"]
    script = script.replace("exec sleep infinity", "").replace("/config", f"{tmp_path}/config")
    subprocess.run([shell, flags, script.replace("/certs.d", f"{tmp_path}/certs.d")], check=True)
    written = {path.parent.name: path.read_text() for path in (tmp_path / "certs.d").glob("*/hosts.toml")}
    files = client_config(mirror.world, "containerd")["files"]
    assert written == {PurePosixPath(file["path"]).parent.name: file["content"] for file in files}


def certs_d(root: Path, world: World) -> Path:
    """The folder for containerd, with the printed files where it is printed that they go, below `root`."""
    for file in client_config(world, "containerd")["files"]:
        path = root / file["path"].lstrip("/")
        path.parent.mkdir(parents=True)
        path.write_text(file["content"])
    return root / "etc/containerd/certs.d"
