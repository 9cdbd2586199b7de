"""What the mirror lacks, by redirects of the Worker, with real clients."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.edge.config import MissSource, on_miss_json
from reconciler.oci.spec import OCI_MANIFEST, Digest
from reconciler.target.layout import manifest_headers, manifest_key
from tests.parts.clients import new_podman, start_containerd
from tests.parts.docker_registry import DockerRegistry, start_docker_registry
from tests.parts.images import app, push
from tests.parts.nginx_edge import start_nginx_edge
from tests.parts.r2_simulator import start_r2_simulator, worker_host
from tests.parts.scripted_server import Answer, Asked, ScriptedServer, serve_answers
from tests.parts.seaweedfs import bucket_store
from tests.parts.serving import Served

if TYPE_CHECKING:
    from tests.parts.skopeo import Skopeo

IMAGE = app("1.0")
MANIFEST = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}'
ABSENT = Digest.of(b"absent")


@dataclass(frozen=True)
class Edge:
    """The Worker and what stands before it, the source that needs no login, and the one that has clients get a token."""

    worker: str
    host: str
    source: DockerRegistry
    logins: ScriptedServer

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str | None]:
        answer = Served(self.worker).ask(f"/v2/{path}", method, **headers)
        return answer.status, answer.headers.get("location")


def asks_for_tokens(server: ScriptedServer) -> Callable[[Asked], Answer]:
    """A registry as Docker Hub is: anonymous pulls need a token, too."""
    manifests = {one.digest: one for one in IMAGE.manifests()}
    blobs = IMAGE.all_blobs()

    def answer(asked: Asked) -> Answer:
        if asked.path.startswith("/token"):
            return Answer(body=b'{"token":"anonymous"}', headers={"Content-Type": "application/json"})
        if asked.headers.get("authorization") != "Bearer anonymous":
            realm = f'Bearer realm="{server.url}/token",service="hub",scope="repository:hub/app:pull"'
            return Answer(401, {"WWW-Authenticate": realm})
        reference = asked.path.rpartition("/")[2]
        if reference in blobs:
            return Answer(body=blobs[reference])
        found = manifests.get(reference, IMAGE)
        return Answer(
            body=found.body, headers={"Content-Type": found.media_type, "Docker-Content-Digest": found.digest}
        )

    return answer


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder, logins = tmp_path_factory.mktemp("on-miss"), ScriptedServer()
    logins.otherwise = asks_for_tokens(logins)
    with start_docker_registry(folder / "source") as source, serve_answers(logins) as logins.url:
        sources = [
            MissSource("", "m/library", f"{source.url}/v2/library"), MissSource("", "hub", f"{logins.url}/v2/hub")
        ]  # fmt: skip
        push(IMAGE, source.host, "library/app", "1.0")
        with start_r2_simulator(folder / "worker", texts={"ON_MISS": on_miss_json(sources)}) as buckets:
            headers = manifest_headers(OCI_MANIFEST, "1")
            bucket_store(buckets[0]).put(manifest_key("m/library/kept", "1"), MANIFEST, headers)
            # Clients try TLS first, which nginx refuses at once, as Cloudflare's edge and not the simulator does.
            with start_nginx_edge(folder / "front", f"http://{worker_host(buckets[0])}", ()) as front:
                yield Edge(worker_host(buckets[0]), front.host, source, logins)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_only_manifests_and_blobs_of_named_sources_are_redirected(edge: Edge, method: str) -> None:
    for rest in ("manifests/2", f"manifests/{ABSENT}", f"blobs/{ABSENT}"):
        for name in ("library/kept", "library/a/b", "library"):
            expected = (307, f"{edge.source.url}/v2/{name}/{rest}")
            assert edge.ask(f"m/{name}/{rest}?ns=evil.example", method, host="evil.example") == expected
        for name in ("m/librarys/kept", "m/other", "m", "library/kept", "x/m/library/kept"):
            assert edge.ask(f"{name}/{rest}", method) == (404, None)
    assert edge.ask("m/library/kept/manifests/1", method) == (200, None), "what is there is served"
    for path in ("tags/list", f"referrers/{ABSENT}", "manifests/-", "blobs/manifests/2"):
        assert edge.ask(f"m/library/none/{path}", method)[0] == 404


@pytest.mark.parametrize(
    "path", ["m/library//evil.example/a/manifests/1", "m/library/../a/manifests/1", "m/library/%2e%2e/a/manifests/1",
             "m/library/a%2F..%2F..%2Fb/manifests/1", "m/library/@evil.example/manifests/1", "m/library/a/blobs/%0d%0aX:1",
             "m/library/a/manifests/1%3Fx", "m/library/a/manifests/1%23x"]
)  # fmt: skip
def test_no_request_chooses_where_to(edge: Edge, path: str) -> None:
    status, location = edge.ask(path)
    assert status in (400, 404)
    assert location is None


def test_skopeo_and_podman_pull_what_is_missing_from_the_source(edge: Edge, skopeo: Skopeo, tmp_path: Path) -> None:
    where = f"{edge.host}/m/library/app:1.0"
    skopeo("copy", "--all", f"docker://{where}", f"oci:{tmp_path / 'pulled'}:1.0")
    assert json.loads((tmp_path / "pulled/index.json").read_bytes())["manifests"][0]["digest"] == IMAGE.digest
    with new_podman(f'[[registry]]\nlocation = "{edge.host}"\ninsecure = true\n') as podman:
        assert IMAGE.digest in podman.pull(where)[where]
    assert edge.ask("m/library/app/manifests/1.0")[0] == 307, "nothing is stored"


def test_a_source_that_wants_tokens_is_refused_by_skopeo(edge: Edge, skopeo: Skopeo, tmp_path: Path) -> None:
    """As docs/edge.md says: containers/image takes the challenge of the mirror's own /v2/, which has none."""
    edge.logins.asked.clear()
    with pytest.raises(AssertionError, match="unauthorized"):
        skopeo("copy", f"docker://{edge.host}/hub/app:1.0", f"oci:{tmp_path / 'pulled'}:1.0")
    assert edge.logins.requests("GET /v2/hub/")
    assert not edge.logins.requests("GET /token")


def test_containerd_gets_the_token_of_a_source(edge: Edge, tmp_path: Path) -> None:
    with start_containerd(tmp_path / "containerd") as ctr:
        hosts = tmp_path / "certs.d" / edge.host
        hosts.mkdir(parents=True)
        (hosts / "hosts.toml").write_text(f'server = "http://{edge.host}"\n')
        assert ctr.pull(f"{edge.host}/hub/app:1.0", hosts.parent) == IMAGE.digest
