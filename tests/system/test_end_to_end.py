"""The main job on real parts: docker-registry -> r2mirror -> SeaweedFS -> nginx as the edge -> skopeo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.bench import shown
from tests.parts.images import (
    BASE,
    ForeignLayer,
    app,
    artifact,
    attestation,
    build_cache,
    image,
    index,
    push,
    write_layout,
)
from tests.parts.seaweedfs import s3_store
from tests.world import World, changes, from_folder, from_url, walk

if TYPE_CHECKING:
    from tests.parts.docker_registry import DockerRegistry
    from tests.parts.nginx_edge import Edge
    from tests.parts.seaweedfs import S3Bucket
    from tests.parts.skopeo import Skopeo


@pytest.fixture
def folder_world(tmp_path: Path, docker_registry: DockerRegistry) -> World:
    """A user who mirrors from the registry into a folder."""
    (tmp_path / "user").mkdir()
    return World(tmp_path / "user", {"type": "file", "path": "./mirror"}, {docker_registry.host: {"plain_http": True}})


def etags(bucket: S3Bucket) -> dict[str, str]:
    pages = bucket.client().get_paginator("list_objects_v2").paginate(Bucket=bucket.bucket)
    return {
        entry["Key"]: f"{entry['ETag']} {entry['LastModified']}" for page in pages for entry in page.get("Contents", [])
    }


def test_from_registry_to_a_bucket_that_skopeo_pulls_from(
    bucket_world: World,
    docker_registry: DockerRegistry,
    s3_bucket: S3Bucket,
    nginx_edge: Edge,
    skopeo: Skopeo,
    tmp_path: Path,
) -> None:
    world, source = bucket_world, f"{docker_registry.host}/team/app"
    images = {tag: app(tag) for tag in ("1.0", "1.1", "1.2")}
    for tag, one in {**images, "latest": images["1.2"]}.items():
        push(one, docker_registry.host, "team/app", tag)
    s3_bucket.client().put_object(Bucket=s3_bucket.bucket, Key="mine/notes.txt", Body=b"not yours")
    world.mirrors({"source": source, "target": "mirrored/app", "tags": ["latest", {"glob": "1.*"}]})

    assert changes(world.plan("--detailed-exitcode", code=2)) == [
        ("add", "mirrored/app", tag) for tag in ("1.0", "1.1", "1.2", "latest")
    ]
    assert s3_bucket.stored_keys() == ["mine/notes.txt"], "a plan writes nothing"
    assert not [r for r in docker_registry.requests() if r.method == "GET" and "/manifests/" in r.path]

    assert world.apply()["summary"] == {"done": 4, "failed": 0, "skipped": 0}
    read = from_url(nginx_edge.url)
    for tag, one in images.items():
        answer = httpx.get(f"{nginx_edge.url}/v2/mirrored/app/manifests/{tag}")
        assert answer.content == one.body, "the source's exact bytes"
        assert answer.headers["content-type"] == one.media_type
        assert answer.headers["cache-control"] == "no-cache, no-transform"
        by_digest = httpx.get(f"{nginx_edge.url}/v2/mirrored/app/manifests/{one.digest}")
        assert by_digest.headers["cache-control"] == "public, max-age=31536000, immutable, no-transform"
        assert walk(read, "mirrored/app", tag) >= set(one.all_blobs())

    listed = json.loads(skopeo("list-tags", f"docker://{nginx_edge.host}/mirrored/app"))
    assert listed["Tags"] == ["1.0", "1.1", "1.2", "latest"]
    assert httpx.get(f"{nginx_edge.url}/v2/_catalog").json() == {"repositories": ["mirrored/app"]}
    page = httpx.get(f"{nginx_edge.url}/index.html")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache, no-transform"
    assert shown(page.content)["mirrored/app"].keys() == {"1.0", "1.1", "1.2", "latest"}
    assert "latest  sha256:" in world.run("list", "mirrored/*", "--url", nginx_edge.url).stdout
    skopeo("copy", "--all", f"docker://{nginx_edge.host}/mirrored/app:latest", f"oci:{tmp_path / 'pulled'}:latest")
    pulled = json.loads((tmp_path / "pulled/index.json").read_bytes())["manifests"][0]
    assert pulled["digest"] == images["1.2"].digest

    before = etags(s3_bucket)
    asked = len(docker_registry.requests())
    assert not changes(world.plan("--detailed-exitcode"))
    assert world.apply()["summary"] == {"done": 0, "failed": 0, "skipped": 0}
    assert etags(s3_bucket) == before, "an apply with nothing to do writes nothing"
    kinds = [r.method for r in docker_registry.requests()[asked:] if "/manifests/" in r.path]
    assert kinds == ["HEAD"] * 8, "one HEAD a tag in each of the two runs, and no GET of a manifest"

    push(images["1.1"], docker_registry.host, "team/app", "latest")
    world.mirrors({"source": source, "target": "mirrored/app", "tags": ["latest", "1.1"]})
    expected = [
        ("update", "mirrored/app", "latest"),
        ("prune", "mirrored/app", "1.0"),
        ("prune", "mirrored/app", "1.2"),
    ]
    assert changes(world.plan()) == expected
    assert world.apply()["summary"]["done"] == 3
    assert httpx.get(f"{nginx_edge.url}/v2/mirrored/app/tags/list").json()["tags"] == ["1.1", "latest"]
    assert httpx.get(f"{nginx_edge.url}/v2/mirrored/app/manifests/1.0").status_code == 404
    assert read("v2/mirrored/app/manifests/latest") == images["1.1"].body
    assert walk(read, "mirrored/app", images["1.2"].digest), "a retired digest stays pullable"
    assert read("mine/notes.txt") == b"not yours"
    index_document = json.loads(read("_mirror/index.json"))
    assert set(index_document["repositories"]["mirrored/app"]["retired"]) == {
        images["1.0"].digest,
        images["1.2"].digest,
    }
    assert "_mirror/lock.json" not in s3_bucket.stored_keys(), "the lock is given back"


SHAPES = {
    "oci": image(BASE),
    "docker": image(BASE, docker=True),
    "oci index": app("1"),
    "docker list": app("1", docker=True),
    "nested index": index(app("1"), image(BASE, platform="linux/s390x")),
    "artifact without layers": artifact(),
    "artifact with a layer": artifact(layers=[("application/vnd.example.note", b"hello")]),
    "zero-byte blob": image(b"", BASE),
    "foreign layer": image(ForeignLayer(b"elsewhere"), BASE, docker=True),
    "attestation": index(image(BASE), attestation(image(BASE))),
    "cache of BuildKit's": build_cache(b"a layer", b"another"),
    "blobs beside images": index(image(BASE), blobs=[("application/vnd.example.note", b"hello")]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_from_a_registry(shape: str, folder_world: World, docker_registry: DockerRegistry) -> None:
    one = SHAPES[shape]
    push(one, docker_registry.host, "shapes", "1")
    folder_world.mirrors({"source": f"{docker_registry.host}/shapes", "tags": ["1"]})
    folder_world.apply()
    read = from_folder(folder_world.folder / "mirror")
    assert read("v2/shapes/manifests/1") == one.body
    assert walk(read, "shapes", one.digest) >= {manifest.digest for manifest in one.manifests()} | set(one.all_blobs())
    assert not changes(folder_world.plan())


SHA512 = index(image(BASE, algorithm="sha512"), algorithm="sha512")


@pytest.mark.parametrize("shape", [*SHAPES, "sha512"])
def test_every_shape_from_an_image_layout(shape: str, tmp_path: Path) -> None:
    one = {**SHAPES, "sha512": SHA512}[shape]
    world = World(tmp_path, {"type": "file", "path": "./mirror"})
    write_layout(tmp_path / "images", {"1": one})
    world.mirrors({"source": "oci:./images", "target": "shapes", "tags": [{"glob": "*"}]})
    world.apply()
    read = from_folder(tmp_path / "mirror")
    assert walk(read, "shapes", one.digest) >= {manifest.digest for manifest in one.manifests()} | set(one.all_blobs())


def test_a_folder_that_was_mirrored_is_a_source_for_the_next(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    write_layout(tmp_path / "images", {"1": app("1", "linux/amd64", "linux/arm64"), "2": app("2")})
    world = World(tmp_path, {"type": "file", "path": "./office"})
    world.mirrors({"source": "oci:./images", "target": "team/app", "tags": [{"glob": "*"}], "referrers": True})
    world.apply()
    again = World(tmp_path, {"type": "file", "path": "./branch"})
    again.mirrors({"source": "mirror:./office//team/app", "tags": [{"glob": "*"}], "referrers": True})
    assert changes(again.plan()) == [("add", "team/app", "1"), ("add", "team/app", "2")]
    again.apply()
    for tag in ("1", "2"):
        assert walk(from_folder(tmp_path / "branch"), "team/app", tag) == walk(
            from_folder(tmp_path / "office"), "team/app", tag
        )
    assert changes(again.plan()) == []


def test_a_mirror_of_some_platforms_keeps_the_index_byte_for_byte(
    folder_world: World, docker_registry: DockerRegistry
) -> None:
    amd64, arm64 = image(BASE, {"a": "amd64"}), image(BASE, {"a": "arm64"}, platform="linux/arm64/v8")
    both = index(amd64, arm64, attestation(amd64), attestation(arm64))
    push(both, docker_registry.host, "app", "1")
    mirror = {"source": f"{docker_registry.host}/app", "tags": ["1"]}
    folder_world.mirrors({**mirror, "platforms": ["linux/arm64"]})
    folder_world.apply()
    read = from_folder(folder_world.folder / "mirror")
    assert read("v2/app/manifests/1") == both.body
    assert walk(read, "app", arm64.digest)
    there = {path.name for path in (folder_world.folder / "mirror/v2/app/manifests").iterdir()}
    assert there == {"1", both.digest, arm64.digest, both.children[3].digest}

    folder_world.mirrors({**mirror, "platforms": ["linux/arm64", "linux/amd64"]})
    (change,) = folder_world.plan()["repositories"][0]["changes"]
    assert (change["action"], change["reason"]) == ("update", "platforms: + linux/amd64")
    folder_world.apply()
    assert walk(read, "app", "1") >= set(both.all_blobs())


def test_a_source_that_is_down_prunes_nothing_and_the_other_is_done(
    folder_world: World, docker_registry: DockerRegistry, unused_host: str
) -> None:
    push(app("1"), docker_registry.host, "up", "1")
    push(app("1"), docker_registry.host, "down", "1")
    up, down = ({"source": f"{docker_registry.host}/{name}", "tags": [{"glob": "*"}]} for name in ("up", "down"))
    folder_world.mirrors(up, down)
    folder_world.apply()
    push(app("2"), docker_registry.host, "up", "2")

    folder_world.registries = {**folder_world.registries, unused_host: {"plain_http": True}}
    folder_world.mirrors(up, {**down, "source": f"{unused_host}/down", "target": "down"})
    plan = folder_world.plan(code=1)
    assert changes(plan) == [("add", "up", "2")]
    assert plan["summary"]["errors"] == 1
    assert unused_host in plan["repositories"][0]["error"]
    assert folder_world.apply(code=1)["summary"] == {"done": 1, "failed": 0, "skipped": 0}
    assert walk(from_folder(folder_world.folder / "mirror"), "down", "1")


@pytest.fixture
def unused_host() -> str:
    from tests.parts.process import free_port

    return f"127.0.0.1:{free_port()}"


def test_an_image_that_fails_keeps_its_repository_from_pruning(
    folder_world: World, docker_registry: DockerRegistry
) -> None:
    for tag in ("1", "2"):
        push(app(tag), docker_registry.host, "app", tag)
    mirror = {"source": f"{docker_registry.host}/app", "target": "app"}
    folder_world.mirrors({**mirror, "tags": ["1"]})
    folder_world.apply()
    folder_world.mirrors({**mirror, "tags": ["2"], "platforms": ["windows/amd64"]})
    outcome = folder_world.apply(code=1)
    assert {(o["tag"], o["status"]) for o in outcome["outcomes"]} == {("1", "skipped"), ("2", "failed")}
    assert "linux/amd64, linux/arm64" in next(o["reason"] for o in outcome["outcomes"] if o["tag"] == "2")
    assert walk(from_folder(folder_world.folder / "mirror"), "app", "1")


def test_a_saved_plan_does_exactly_that_and_only_while_the_index_stands(
    folder_world: World, docker_registry: DockerRegistry
) -> None:
    first, second = app("1"), app("2")
    push(first, docker_registry.host, "app", "latest")
    folder_world.mirrors({"source": f"{docker_registry.host}/app", "tags": ["latest"]})
    folder_world.run("plan", "--out", "plan.json")
    push(second, docker_registry.host, "app", "latest")
    folder_world.apply("plan.json")
    assert from_folder(folder_world.folder / "mirror")("v2/app/manifests/latest") == first.body
    stale = folder_world.run("apply", "plan.json", "--yes", code=1)
    assert "has moved on" in stale.stderr
    assert "Plan again" in stale.stderr

    folder_world.run("plan", "--out", "plan.json")
    folder_world.mirrors({"source": f"{docker_registry.host}/app", "tags": ["latest", "other"]})
    assert "has been edited" in folder_world.run("apply", "plan.json", "--yes", code=1).stderr


def test_off_a_terminal_apply_wants_a_yes(folder_world: World, docker_registry: DockerRegistry) -> None:
    push(app("1"), docker_registry.host, "app", "1")
    folder_world.mirrors({"source": f"{docker_registry.host}/app", "tags": ["1"]})
    assert "add --yes" in folder_world.run("apply", code=1).stderr
    assert "1 to add" in folder_world.run("apply", "--dry-run").stdout
    assert not (folder_world.folder / "mirror").exists()


def test_only_limits_a_run_and_prunes_beyond_the_guard_wait_for_a_word(
    folder_world: World, docker_registry: DockerRegistry
) -> None:
    one = app("1")
    for tag in range(12):
        push(one, docker_registry.host, "many", f"1.{tag}")
    push(one, docker_registry.host, "other", "1")
    many = {"source": f"{docker_registry.host}/many", "target": "a/many"}
    other = {"source": f"{docker_registry.host}/other", "target": "b/other", "tags": ["1"]}
    folder_world.mirrors({**many, "tags": [{"glob": "*"}]}, other)
    assert folder_world.apply("--only", "a/*")["summary"]["done"] == 12
    assert changes(folder_world.plan()) == [("add", "b/other", "1")]

    folder_world.mirrors({**many, "tags": ["1.0"]}, other)
    outcome = folder_world.apply(code=1)
    assert outcome["summary"] == {"done": 1, "failed": 0, "skipped": 11}
    assert "--allow-prune" in outcome["outcomes"][-1]["reason"]
    assert folder_world.apply("--no-prune")["summary"]["done"] == 0
    assert folder_world.apply("--allow-prune")["summary"]["done"] == 11
    assert json.loads(from_folder(folder_world.folder / "mirror")("v2/a/many/tags/list"))["tags"] == ["1.0"]


def test_the_state_can_have_a_bucket_of_its_own(
    tmp_path: Path, s3_bucket: S3Bucket, new_s3_bucket: Callable[[], S3Bucket]
) -> None:
    state = new_s3_bucket()
    store = {**s3_store(s3_bucket), "state_bucket": state.bucket}
    world = World(tmp_path, store, environ=s3_bucket.environ())
    write_layout(tmp_path / "images", {"1": app("1")})
    world.mirrors({"source": "oci:./images", "target": "app", "tags": ["1"]})
    assert "will be public" not in world.run("plan").stderr
    world.apply()
    assert {key.partition("0")[0] for key in state.stored_keys()} == {"_mirror/index.json", "_mirror/roots/"}
    assert not [key for key in s3_bucket.stored_keys() if key.startswith("_mirror")]


def test_into_the_r2_simulator(tmp_path: Path, r2_buckets: tuple[S3Bucket, S3Bucket]) -> None:
    bucket, _ = r2_buckets
    world = World(tmp_path, s3_store(bucket), environ=bucket.environ())
    one = app("1")
    write_layout(tmp_path / "images", {"1": one, "2": one})
    world.mirrors({"source": "oci:./images", "target": "app", "tags": [{"glob": "*"}]})
    assert "will be public" in world.run("plan").stderr
    world.apply()
    assert walk(from_url(bucket.public_url), "app", "2") >= set(one.all_blobs())
    assert httpx.get(f"{bucket.public_url}/v2/app/manifests/2").headers["content-type"] == one.media_type
    assert not changes(world.plan())


def test_ctrl_c_stops_cleanly_and_the_next_apply_goes_on(
    bucket_world: World, docker_registry: DockerRegistry, s3_bucket: S3Bucket
) -> None:
    """Interrupted once some tags are there; what it says is done is in the index, and nothing broken is visible.

    Slowed down to four seconds, so that it is not done before it is interrupted.
    """
    for number in range(40):
        push(image({"app": os.urandom(200_000)}), docker_registry.host, "app", f"{number:02}")
    bucket_world.mirrors({"source": f"{docker_registry.host}/app", "tags": [{"glob": "*"}]})
    running = subprocess.Popen(
        bucket_world.command("apply", "--yes", "--format", "json", "--bandwidth", "2MiB/s"),
        cwd=bucket_world.folder,
        env=bucket_world.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while sum("/manifests/" in key and "sha256" not in key for key in s3_bucket.stored_keys()) < 5:
        assert running.poll() is None, running.communicate()
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    said = json.loads(out)
    assert said["interrupted"] is True
    assert 0 < said["summary"]["done"] < 40
    read = from_url(s3_bucket.public_url)
    recorded = set(json.loads(read("_mirror/index.json"))["repositories"]["app"]["tags"])
    assert recorded >= {outcome["tag"] for outcome in said["outcomes"] if outcome["status"] == "done"}
    assert json.loads(read("v2/app/tags/list"))["tags"] == sorted(recorded)
    for key in s3_bucket.stored_keys():
        if "/manifests/" in key and "sha256" not in key:
            walk(read, "app", key.rpartition("/")[2])
    assert len(bucket_world.apply()["outcomes"]) == 40 - len(recorded)
    assert not changes(bucket_world.plan())


def test_each_blob_is_downloaded_once_however_many_tags_want_it(
    folder_world: World, docker_registry: DockerRegistry
) -> None:
    for tag in range(8):
        push(app(str(tag)), docker_registry.host, "app", str(tag))
    folder_world.mirrors({"source": f"{docker_registry.host}/app", "tags": [{"glob": "*"}]})
    folder_world.apply()
    fetched = [r.path for r in docker_registry.requests() if r.method == "GET" and "/blobs/sha256" in r.path]
    assert len(fetched) == len(set(fetched)) == 1 + 8 * 2 * 2, "one base layer; a layer and a config each"
