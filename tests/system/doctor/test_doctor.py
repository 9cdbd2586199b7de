"""`r2mirror doctor` as a user runs it, against a sound public folder that is then broken in one way after another."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.doctor.public import check_public
from reconciler.doctor.results import Status
from reconciler.mirrors.schema_files import load_schema
from reconciler.stores.buckets import R2
from reconciler.target.index_json import parse
from tests.parts.certificates import certificate
from tests.parts.images import image, index, push, write_layout
from tests.parts.scripted_hub import start_docker_hub
from tests.parts.scripted_s3 import start_scripted_s3
from tests.parts.scripted_server import Answer, Asked, ScriptedServer
from tests.parts.seaweedfs import s3_store
from tests.world import World

if TYPE_CHECKING:
    from tests.parts.docker_registry import DockerRegistry
    from tests.parts.nginx_edge import Edge
    from tests.parts.seaweedfs import S3Bucket

APP = index(*(image({"bin/app": bytes(range(256))}, platform=f"linux/{one}") for one in ("amd64", "arm64")))


@dataclass
class Public:
    """A folder store behind an edge; `crook` changes what it answers."""

    world: World
    server: ScriptedServer
    crook: Callable[[Asked, Answer], Answer] = field(default=lambda _, answer: answer)

    @property
    def folder(self) -> Path:
        return self.world.folder / "mirror"

    def answer(self, asked: Asked) -> Answer:
        return self.crook(asked, self._sound(asked))

    def _sound(self, asked: Asked) -> Answer:
        path = self.folder / ("v2/_ping" if asked.path == "/v2/" else asked.path.lstrip("/"))
        if not path.is_file():
            return Answer(404, {"Content-Type": "text/html"}, b"<html>not found</html>")
        body = path.read_bytes()
        headers = {"Content-Type": "application/octet-stream", "Docker-Distribution-API-Version": "registry/2.0"}
        if "/manifests/" in asked.path:
            headers["Content-Type"] = json.loads(body)["mediaType"]
        if path.name.startswith("sha256:"):
            headers["Docker-Content-Digest"] = path.name
        if asked.headers.get("range") == "bytes=0-0":
            return Answer(206, {**headers, "Content-Range": f"bytes 0-0/{len(body)}"}, body[:1])
        return Answer(200, headers, body)

    def doctor(self, *arguments: str, code: int = 0) -> dict[tuple[str, str], dict[str, Any]]:
        """The findings that are not well, by area and check."""
        document = json.loads(self.world.run("doctor", "--format", "json", *arguments, code=code).stdout)
        Draft202012Validator(load_schema("doctor")).validate(document)
        return {(one["area"], one["check"]): one for one in document["findings"] if one["status"] != "ok"}


@contextmanager
def open_to_the_public(folder: Path) -> Iterator[Public]:
    with start_scripted_s3() as server:
        world = World(folder, {"type": "file", "path": "./mirror", "public_url": server.url})
        write_layout(folder / "images", {"1": APP, "2": image({"v": "2"})})
        world.mirrors({"source": "oci:./images", "target": "team/app", "tags": ["1", "2"]})
        public = Public(world, server)
        server.otherwise = public.answer
        yield public


@pytest.fixture
def public(tmp_path: Path) -> Iterator[Public]:
    with open_to_the_public(tmp_path) as public:
        yield public


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Public]:
    """One that has been applied, for tests that only change what is answered."""
    with open_to_the_public(tmp_path_factory.mktemp("applied")) as public:
        public.world.apply()
        yield public


def test_all_is_well_and_nothing_is_written(public: Public) -> None:
    public.world.apply()
    before = files(public.folder)
    assert public.doctor("--image", "team/app:1") == {}
    assert files(public.folder) == before
    text = public.world.run("doctor", "--image", "team/app:1").stdout
    assert "team/app:1: 3 manifests and 3 blobs" in text
    assert text.endswith("checks.\n")


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_before_the_first_apply(public: Public) -> None:
    assert set(public.doctor(code=1)) == {("public", "ping"), ("public", "image")}


def header(name: str, value: str | None, part: str) -> Callable[[Asked, Answer], Answer]:
    """Changes a header of the answers to paths with `part` in them."""

    def crook(asked: Asked, answer: Answer) -> Answer:
        headers = {key: one for key, one in answer.headers.items() if key != name}
        return (
            replace(answer, headers={**headers, **({name: value} if value else {})}) if part in asked.path else answer
        )

    return crook


def status(code: int, part: str) -> Callable[[Asked, Answer], Answer]:
    return lambda asked, answer: replace(answer, status=code) if part in asked.path else answer


def zipped(asked: Asked, answer: Answer) -> Answer:
    if "gzip" not in asked.headers.get("accept-encoding", "") or answer.status != 200:
        return answer
    return replace(answer, headers={**answer.headers, "Content-Encoding": "gzip"}, body=gzip.compress(answer.body))


def ranges_ignored(asked: Asked, answer: Answer) -> Answer:
    return replace(answer, status=200, body=answer.body * 2) if answer.status == 206 else answer


@pytest.mark.parametrize(
    ("crook", "check", "words"),
    [
        (status(404, "/v2/"), "ping", "/v2/_ping"),
        (header("Docker-Distribution-API-Version", None, "/v2/"), "api version", "edge apply"),
        (header("Content-Type", None, "/manifests/"), "content type", "Content-Type"),
        (header("Content-Type", "application/json", "/manifests/"), "content type", "Content-Type"),
        (header("Docker-Content-Digest", None, "/manifests/"), "digest header", "edge apply"),
        (header("Docker-Content-Digest", f"sha256:{'0' * 64}", "/manifests/"), "digest header", "edge apply"),
        (zipped, "content encoding", "no-transform"),
        (ranges_ignored, "range", "compression"),
        (status(200, "/manifests/r2mirror-doctor-"), "missing", "404"),
        (status(403, "/manifests/r2mirror-doctor-"), "missing", "404"),
        (status(503, "/tags/list"), "tag list", "verify --repair"),
        (status(404, "/blobs/"), "walk", "verify --deep --repair"),
        (header("cf-cache-status", "DYNAMIC", "/manifests/"), "cache", "edge apply"),
        (header("cf-cache-status", "HIT", "/manifests/"), "tag cache", "edge apply"),
    ],
)
def test_what_is_crooked_is_found_with_its_fix(
    applied: Public, crook: Callable[[Asked, Answer], Answer], check: str, words: str
) -> None:
    applied.crook = crook
    body = (applied.folder / "_mirror/index.json").read_bytes()
    findings = check_public(applied.server.url, parse(body, "the index"), None, R2.advice, deep=False)
    found = {one.check: one for one in findings if one.status is not Status.OK}
    assert words in found[check].fix


def _doctor(world: World) -> str:
    """What doctor prints, whatever it exits with."""
    command = world.command("doctor", "--format", "json")
    done = subprocess.run(command, cwd=world.folder, env=world.environment, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1)
    assert done.stderr == ""
    return done.stdout


def test_bytes_that_rotted_are_found_by_their_digest(public: Public) -> None:
    public.world.apply()
    of_two = next(iter(image({"v": "2"}).blobs))
    blob = public.folder / "v2/team/app/blobs" / of_two
    blob.write_bytes(bytes(blob.stat().st_size))
    found = public.doctor("--image", "team/app:2", code=1)
    assert of_two in found["public", "walk"]["found"]
    assert "do not match its digest" in found["public", "walk"]["found"]
    assert public.doctor("--image", "team/app:1") == {}


@pytest.mark.parametrize(("gone", "code"), [("linux/amd64", 1), ("linux/arm64", 0)])
def test_only_platforms_that_are_not_mirrored_may_be_missing(public: Public, gone: str, code: int) -> None:
    public.world.defaults = {"platforms": ["linux/amd64"]}
    public.world.mirrors({"source": "oci:./images", "target": "team/app", "tags": ["1"]})
    public.world.apply()
    (digest,) = (one.digest for one in APP.children if one.entry["platform"]["architecture"] == gone[-5:])
    (public.folder / "v2/team/app/manifests" / digest).unlink(missing_ok=True)
    found = public.doctor("--image", "team/app:1", code=code)
    assert set(found) == ({("public", "walk")} if code else set())


@pytest.mark.parametrize("store", [{"type": "s3", "bucket": "abc"}, {"type": "file", "path": "./m"}])
def test_no_fix_speaks_of_another_kind_of_store(store: dict[str, str], tmp_path: Path) -> None:
    with start_scripted_s3() as server:
        server.otherwise = lambda _: Answer(500, {}, b"")
        world = World(tmp_path, {**store, "public_url": server.url}, environ={"AWS_ENDPOINT_URL": server.url})
        world.mirrors({"source": "oci:./images", "target": "team/app", "tags": ["1"]})
        fixes = " ".join(one["fix"] or "" for one in json.loads(_doctor(world))["findings"])
    assert fixes
    assert not re.search("R2|Cloudflare|edge apply|custom domain|account_id", fixes)


def test_an_image_cannot_be_followed_without_a_public_url(tmp_path: Path) -> None:
    world = World(tmp_path, {"type": "file", "path": "./mirror"})
    world.mirrors({"source": "oci:./images", "target": "team/app", "tags": ["1"]})
    assert "store.public_url" in world.run("doctor", "--image", "team/app:1", code=1).stderr


def test_a_public_url_that_does_not_answer(public: Public) -> None:
    public.world.apply()
    public.world.store = {**public.world.store, "public_url": "http://127.0.0.1:1"}
    public.world.mirrors({"source": "oci:./images", "target": "team/app", "tags": ["1"]})
    found = public.doctor(code=1)
    assert "no answer" in found["public", "connection"]["found"]


def test_without_a_public_url_the_rest_is_looked_at(public: Public) -> None:
    public.world.apply()
    public.world.store = {"type": "file", "path": "./mirror"}
    public.world.mirrors({"source": "oci:./nowhere", "target": "team/app", "tags": ["1"]})
    assert set(public.doctor(code=1)) == {("public", "public url"), ("source", "reach")}


def test_an_image_that_is_not_mirrored(public: Public) -> None:
    public.world.apply()
    assert "team/app:9" in public.doctor("--image", "team/app:9", code=1)["public", "image"]["found"]


@pytest.fixture
def bucket(tmp_path: Path, s3_bucket: S3Bucket, nginx_edge: Edge) -> World:
    store = {**s3_store(s3_bucket), "public_url": nginx_edge.url}
    world = World(tmp_path, store, environ=s3_bucket.environ())
    write_layout(tmp_path / "images", {"1": APP})
    world.mirrors({"source": "oci:./images", "target": "team/app", "tags": ["1"]})
    return world


def test_a_real_bucket_behind_a_real_edge(bucket: World, s3_bucket: S3Bucket, docker_registry: DockerRegistry) -> None:
    bucket.apply()
    keys = s3_bucket.stored_keys()
    document = json.loads(_doctor(bucket))
    assert document["summary"]["error"] == 0, document
    assert {one["check"] for one in document["findings"] if one["area"] == "bucket"} == {
        "read",
        "list",
        "write",
        "delete",
        "clock",
    }
    assert s3_bucket.stored_keys() == keys

    bucket.environ = {**bucket.environ, "R2_SECRET_ACCESS_KEY": "wrong"}
    denied = [one for one in json.loads(_doctor(bucket))["findings"] if one["status"] == "error"]
    assert [(one["area"], one["check"]) for one in denied] == [("bucket", "read")]
    assert "read, write, list and delete" in denied[0]["fix"]


def test_a_registry_s_quota_is_told(tmp_path: Path, docker_registry: DockerRegistry) -> None:
    push(APP, docker_registry.host, "team/app", "1")
    with start_docker_hub(docker_registry.url) as hub:
        world = World(tmp_path, {"type": "file", "path": "./mirror"}, {hub.host: {"plain_http": True}})
        world.mirrors({"source": f"{hub.host}/team/app", "target": "team/app", "tags": ["1"]})
        said = {one["check"]: one for one in json.loads(_doctor(world))["findings"] if one["area"] == "source"}
        assert said["quota"]["found"] == f"{hub.host} has 100 of 100 left, counted over 6 h"
        hub.left = 0
        said = {one["check"]: one for one in json.loads(_doctor(world))["findings"] if one["area"] == "source"}
        assert (said["quota"]["status"], hub.pulls) == ("warning", [])
        assert "--wait-for-quota" in said["quota"]["fix"]


def test_an_untrusted_certificate_and_a_trusted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = certificate(tmp_path, "own")
    with start_scripted_s3(own) as server:
        [_, refused] = check_public(server.url, None, None, R2.advice, deep=False)
        assert (refused.check, refused.status) == ("connection", Status.ERROR)
        assert "certificate" in refused.fix
        monkeypatch.setenv("SSL_CERT_FILE", str(own))
        found = {one.check: one for one in check_public(server.url, None, None, R2.advice, deep=False)}
        assert found["tls"].status is Status.WARNING, "it ends in two days"
        assert found["tls"].found.startswith("TLSv1.3, certificate valid until ")
