"""What the mirror lacks, by redirects of the Worker and through it, with real clients."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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
from tests.parts.seaweedfs import S3Bucket, bucket_store
from tests.parts.serving import Answer as Answered
from tests.parts.serving import Served, error_of, wait_until

if TYPE_CHECKING:
    from tests.parts.skopeo import Skopeo

IMAGE = app("1.0")
MANIFEST = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}'
ABSENT = Digest.of(b"absent")
COUNTED = "proxy/library/counted"


@dataclass(frozen=True)
class Edge:
    """The Worker and what stands before it, and its sources.

    source  needs no login
    logins  has clients get a token, and has its blobs at `blobs`
    liar    answers as a test has it
    """

    worker: str
    host: str
    source: DockerRegistry
    logins: ScriptedServer
    blobs: ScriptedServer
    liar: ScriptedServer
    buckets: tuple[S3Bucket, ...]

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str | None]:
        answer = self.answer(path, method, **headers)
        return answer.status, answer.headers.get("location")

    def answer(self, path: str, method: str = "GET", **headers: str) -> Answered:
        return Served(self.worker).ask(f"/v2/{path}", method, **headers)

    def asked_source(self, part: str) -> int:
        """How many requests with this in their path the source has had."""
        return sum(part in one.path for one in self.source.requests())


def asks_for_tokens(server: ScriptedServer, elsewhere: ScriptedServer) -> Callable[[Asked], Answer]:
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
        if reference in blobs and "/proxied/" in asked.path:
            return Answer(307, {"Location": f"{elsewhere.url}/{reference}?signature=1"})
        if reference in blobs:
            return Answer(body=blobs[reference])
        found = manifests.get(reference, IMAGE)
        return Answer(
            body=found.body, headers={"Content-Type": found.media_type, "Docker-Content-Digest": found.digest}
        )

    return answer


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder, logins, blobs, liar = (
        tmp_path_factory.mktemp("on-miss"),
        ScriptedServer(),
        ScriptedServer(),
        ScriptedServer(),
    )
    logins.otherwise = asks_for_tokens(logins, blobs)
    stored = IMAGE.all_blobs()
    blobs.otherwise = lambda asked: Answer(body=stored[asked.path[1:].partition("?")[0]])
    with (
        start_docker_registry(folder / "source") as source,
        serve_answers(logins) as logins.url,
        serve_answers(blobs) as blobs.url,
        serve_answers(liar) as liar.url,
    ):
        sources = [
            MissSource("", "m/library", f"{source.url}/v2/library"),
            MissSource("", "hub", f"{logins.url}/v2/hub"),
            MissSource("", "proxy/library", f"{source.url}/v2/library", 1000),
            MissSource("", "proxy/hub", f"{logins.url}/v2/proxied", 1000, (logins.url,)),
            MissSource("", "proxy/liar", f"{liar.url}/v2/liar", 1000, (liar.url,)),
            MissSource("", "proxy/few", f"{source.url}/v2/few", 2),
        ]
        push(IMAGE, source.host, "library/app", "1.0")
        with start_r2_simulator(folder / "worker", texts={"ON_MISS": on_miss_json(sources)}) as buckets:
            # Before all others, so that it is in the first object of counts: the later ones are written with long pauses.
            Served(worker_host(buckets[0])).ask(f"/v2/{COUNTED}/manifests/1.0")
            headers = manifest_headers(OCI_MANIFEST, "1")
            bucket_store(buckets[0]).put(manifest_key("m/library/kept", "1"), MANIFEST, headers)
            # Clients try TLS first, which nginx refuses at once, as Cloudflare's edge and not the simulator does.
            with start_nginx_edge(folder / "front", f"http://{worker_host(buckets[0])}", ()) as front:
                yield Edge(worker_host(buckets[0]), front.host, source, logins, blobs, liar, buckets)


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
        assert ctr.pull(f"{edge.host}/proxy/hub/other:1.0", hosts.parent) == IMAGE.digest, "the Worker gets it here"


def test_clients_pull_what_is_missing_through_the_worker(edge: Edge, skopeo: Skopeo, tmp_path: Path) -> None:
    """From a source that wants a token too, which these clients cannot get by themselves."""
    for repository in ("proxy/library/app", "proxy/hub/app"):
        where, folder = f"{edge.host}/{repository}:1.0", tmp_path / repository.replace("/", "-")
        skopeo("copy", "--all", f"docker://{where}", f"oci:{folder}:1.0")
        assert json.loads((folder / "index.json").read_bytes())["manifests"][0]["digest"] == IMAGE.digest
    with new_podman(f'[[registry]]\nlocation = "{edge.host}"\ninsecure = true\n') as podman:
        where = f"{edge.host}/proxy/hub/app:1.0"
        assert IMAGE.digest in podman.pull(where)[where]


def test_what_is_fetched_is_counted_as_missed_and_stored_nowhere(edge: Edge) -> None:
    for _ in range(2):
        assert edge.answer("proxy/library/twice/manifests/1").status == 404
        answer = edge.answer("proxy/library/app/manifests/1.0")
        assert (answer.status, answer.body) == (200, IMAGE.body)
        assert answer.headers["docker-content-digest"] == IMAGE.digest
        assert answer.headers["content-type"] == IMAGE.media_type
        assert answer.headers["cache-control"] == "no-store"
    # The log of the source lags behind its answers.
    wait_until(lambda: edge.asked_source("/twice/") == 2)
    assert [one.key for one in bucket_store(edge.buckets[0]).list("v2/")] == [manifest_key("m/library/kept", "1")]
    counts = bucket_store(edge.buckets[2])

    def missed() -> str:
        return "".join(str(counts.get(one.key)) for one in counts.list("_mirror/pulls/"))

    wait_until(lambda: f'"{COUNTED}":{{"1.0":1}}' in missed())


def test_manifests_and_blobs_are_answered_as_those_of_the_mirror(edge: Edge) -> None:
    digest, body = max(IMAGE.all_blobs().items(), key=lambda one: len(one[1]))
    tag, manifest, blob = (
        f"proxy/library/app/{one}" for one in ("manifests/1.0", f"manifests/{IMAGE.digest}", f"blobs/{digest}")
    )
    for path, length, name in (
        (tag, len(IMAGE.body), IMAGE.digest),
        (manifest, len(IMAGE.body), IMAGE.digest),
        (blob, len(body), digest),
    ):
        found = edge.answer(path, "HEAD")
        assert (found.status, found.headers["content-length"]) == (200, str(length))
        assert found.headers["docker-content-digest"] == name
        assert edge.answer(path, if_none_match=f'"{name}"').status == 304
    part = edge.answer(blob, range="bytes=1-3")
    assert (part.status, part.body, part.headers["content-range"]) == (206, body[1:4], f"bytes 1-3/{len(body)}")
    assert edge.answer(blob, range="bytes=1-3", if_range='"other"').status == 200
    assert edge.answer(blob, range="bytes=99999999-").status == 416
    for path in (f"manifests/{ABSENT}", "manifests/2"):
        answer = edge.answer(f"proxy/library/app/{path}")
        assert (answer.status, error_of(answer.body)) == (404, "MANIFEST_UNKNOWN")
    assert error_of(edge.answer(f"proxy/library/app/blobs/{ABSENT}").body) == "BLOB_UNKNOWN"


def test_a_token_is_fetched_once_and_goes_to_the_source_alone(edge: Edge) -> None:
    digest = next(iter(IMAGE.all_blobs()))
    edge.logins.asked.clear()
    edge.blobs.asked.clear()
    secrets = {"authorization": "Basic c2VjcmV0", "cookie": "secret=1", "x_secret": "secret", "accept": "*/*"}
    for path in ("manifests/1.0", f"blobs/{digest}"):
        for _ in range(2):
            assert edge.answer(f"proxy/hub/once/{path}", **secrets).status == 200
    assert edge.logins.requests("GET /token") == ["GET /token?service=hub&scope=repository%3Ahub%2Fapp%3Apull"]
    sent = [*edge.logins.asked, *edge.blobs.asked]
    assert {one.headers.get("authorization") for one in sent} == {None, "Bearer anonymous"}
    assert {one.headers.get("authorization") for one in edge.blobs.asked} == {None}
    assert "secret" not in str([(one.path, one.headers) for one in sent])


LARGE = b" " * (4 * 1024 * 1024 + 1)
JSON = {"Content-Type": OCI_MANIFEST}


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Answer(401), 404),
        (Answer(403), 404),
        (Answer(404), 404),
        (Answer(429, {"Retry-After": "7"}), 429),
        (Answer(500), 503),
        (Answer(304), 503),
        (Answer(204), 503),
        (Answer(206, JSON, MANIFEST), 503),
        (Answer(drop=True), 503),
        (Answer(raw=b"nothing of HTTP\r\n\r\n"), 503),
        (Answer(200, JSON, MANIFEST, cut=1), 503),
        (Answer(200, JSON, LARGE), 503),
        (Answer(200, {"Content-Type": "text/html"}, b"<script>"), 503),
        (Answer(200, {**JSON, "Docker-Content-Digest": str(ABSENT)}, MANIFEST), 503),
        (Answer(307, {"Location": "http://user:password@127.0.0.1/"}), 503),
        (Answer(307, {"Location": "ftp://127.0.0.1/"}), 503),
        (Answer(307, {"Location": "/v2/liar/app/manifests/again"}), 503),
        (Answer(401, {"WWW-Authenticate": 'Basic realm="x"'}), 404),
        (Answer(401, {"WWW-Authenticate": 'Bearer realm="LOGINS/token",service="hub"'}), 404),
        (Answer(401, {"WWW-Authenticate": 'Bearer realm="//["'}), 404),
    ],
)  # fmt: skip
def test_a_source_that_fails_or_lies(answer: Answer, status: int, edge: Edge) -> None:
    headers = {name: value.replace("LOGINS", edge.logins.url) for name, value in answer.headers.items()}
    edge.logins.asked.clear()
    edge.liar.otherwise = lambda _: replace(answer, headers=headers)
    found = edge.answer("proxy/liar/app/manifests/1")
    code = {404: "MANIFEST_UNKNOWN", 429: "TOOMANYREQUESTS", 503: "UNAVAILABLE"}[status]
    assert (found.status, error_of(found.body)) == (status, code)
    assert found.headers.get("retry-after") == {404: None, 429: "7", 503: "10"}[status]
    assert edge.logins.asked == [], "no token is fetched from a server that mirrors.yaml does not name"


def test_a_manifest_by_digest_that_is_another_one_is_not_sent(edge: Edge) -> None:
    edge.liar.otherwise = lambda _: Answer(200, JSON, MANIFEST)
    assert edge.answer(f"proxy/liar/app/manifests/{ABSENT}").status == 503
    right = f"sha512:{hashlib.sha512(MANIFEST).hexdigest()}"
    for digest in (str(Digest.of(MANIFEST)), right):
        answer = edge.answer(f"proxy/liar/app/manifests/{digest}")
        assert (answer.status, answer.headers["docker-content-digest"]) == (200, digest)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Answer(429, {"Retry-After": "7"}), 429),
        (Answer(500), 503),
        (Answer(403), 404),
        (Answer(302, {"Location": "/else"}), 503),
        (Answer(body=b'{"token": "a b"}'), 503),
        (Answer(body=b'{"token":"' + b"a" * 70_000 + b'"}'), 503),
        (Answer(body=b"[]"), 503),
        (Answer(body=b'{"access_token":"still-refused"}'), 404),
    ],
)  # fmt: skip
def test_a_token_server_that_fails(answer: Answer, status: int, edge: Edge) -> None:
    challenge = {"WWW-Authenticate": f'Basic realm="a", Bearer realm="{edge.liar.url}/token",scope="x"'}
    edge.liar.otherwise = lambda asked: answer if asked.path.startswith("/token") else Answer(401, challenge)
    edge.liar.asked.clear()
    assert edge.answer("proxy/liar/login/manifests/1").status == status
    assert edge.liar.requests("GET /token") == ["GET /token?scope=repository%3Aliar%2Flogin%3Apull"]
    assert not edge.liar.requests("GET /else")


def test_a_source_gets_a_limited_number_of_requests(edge: Edge) -> None:
    *passed, refused = [edge.answer("proxy/few/app/manifests/1") for _ in range(3)]
    assert [one.status for one in passed] == [404, 404]
    assert refused.status == 429
    assert 0 < int(refused.headers["retry-after"]) <= 60
    wait_until(lambda: edge.asked_source("/few/") == 2)
