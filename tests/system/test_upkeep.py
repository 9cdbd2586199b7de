"""Upkeep of a bucket on real parts: verify, gc, adopt, unlock, and several runs at once."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.mirrors.schema_files import load_schema
from tests.parts.images import Image, image, index, push
from tests.parts.seaweedfs import s3_store
from tests.world import World, changes, from_folder, from_url, walk

if TYPE_CHECKING:
    from tests.parts.docker_registry import DockerRegistry
    from tests.parts.nginx_edge import Edge
    from tests.parts.seaweedfs import S3Bucket
    from tests.parts.skopeo import Skopeo

LOCK = "_mirror/lock.json"
HANGING = {
    "owner": "elsewhere:7:x",
    "command": "r2mirror apply",
    "since": "2026-11-20T09:00:00Z",
    "renewed": "2026-11-20T10:00:00Z",
    "until": "2026-11-20T10:02:00Z",
}


def app(version: str) -> Image:
    base = {"usr/lib/base": bytes(range(256)) * 40}
    return index(*(image(base, {"v": version}, platform=f"linux/{name}") for name in ("amd64", "arm64")))


@pytest.fixture
def world(tmp_path: Path, docker_registry: DockerRegistry, s3_bucket: S3Bucket) -> World:
    """A user who mirrors `app:1` and `app:2` into a bucket on SeaweedFS."""
    (tmp_path / "user").mkdir()
    registries = {docker_registry.host: {"plain_http": True}}
    world = World(tmp_path / "user", s3_store(s3_bucket), registries, s3_bucket.environ())
    for version in "12":
        push(app(version), docker_registry.host, "app", version)
    world.mirrors({"source": f"{docker_registry.host}/app", "tags": [{"glob": "*"}]})
    return world


def run_json(world: World, schema: str, *arguments: str, code: int = 0) -> dict[str, Any]:
    """The JSON of a command, which its schema describes."""
    document = json.loads(world.run(*arguments, "--format", "json", code=code).stdout)
    Draft202012Validator(load_schema(schema)).validate(document)
    assert isinstance(document, dict)
    return document


def test_what_is_wrong_is_found_repaired_and_pulled_again(
    world: World, s3_bucket: S3Bucket, nginx_edge: Edge, skopeo: Skopeo, tmp_path: Path
) -> None:
    world.apply()
    assert world.run("verify", "--deep").stdout == "2 tags in 1 repository: all as the mirror index says.\n"
    client = s3_bucket.client()
    [amd64, arm64] = app("2").children
    blob = f"v2/app/blobs/{list(amd64.blobs)[-1]}"
    manifest = f"v2/app/manifests/{arm64.digest}"
    client.delete_object(Bucket=s3_bucket.bucket, Key=blob)
    client.put_object(Bucket=s3_bucket.bucket, Key=manifest, Body=arm64.body, ContentType="text/plain")
    client.put_object(Bucket=s3_bucket.bucket, Key="v2/app/manifests/by-hand", Body=amd64.body)
    client.put_object(Bucket=s3_bucket.bucket, Key="v2/app/tags/list", Body=b"{}")

    found = run_json(world, "verify", "verify", code=1)
    assert {(one["key"], one["problem"]) for one in found["findings"]} == {
        (blob, "missing"),
        (manifest, "wrong headers"),
        ("v2/app/manifests/by-hand", "unknown"),
        ("v2/app/tags/list", "out of step"),
    }
    repaired = run_json(world, "verify", "verify", "--repair", code=1)
    assert repaired["summary"]["repaired"] == 3
    assert [one["key"] for one in repaired["findings"] if not one["repaired"]] == ["v2/app/manifests/by-hand"]
    client.delete_object(Bucket=s3_bucket.bucket, Key="v2/app/manifests/by-hand")
    assert run_json(world, "verify", "verify", "--deep")["findings"] == []
    walk(from_url(s3_bucket.public_url), "app", "2")
    skopeo("copy", "--all", f"docker://{nginx_edge.host}/app:2", f"oci:{tmp_path / 'pulled'}:2")


def test_a_source_that_is_gone_is_named_and_the_rest_is_repaired(
    world: World, s3_bucket: S3Bucket, docker_registry: DockerRegistry
) -> None:
    world.apply()
    client = s3_bucket.client()
    for key in (f"v2/app/blobs/{list(app('1').children[0].blobs)[-1]}", "v2/_catalog"):
        client.delete_object(Bucket=s3_bucket.bucket, Key=key)
    shutil.rmtree(docker_registry.data)
    done = world.run("verify", "--repair", code=1)
    assert "! app: 1: " in done.stdout
    assert "+ v2/_catalog: out of step" in done.stdout


def test_garbage_goes_together_with_unfinished_uploads(world: World, s3_bucket: S3Bucket) -> None:
    world.apply()
    client = s3_bucket.client()
    orphan = f"v2/app/blobs/sha256:{'0' * 64}"
    client.put_object(Bucket=s3_bucket.bucket, Key=orphan, Body=b"12345")
    client.create_multipart_upload(Bucket=s3_bucket.bucket, Key=f"v2/app/blobs/sha256:{'1' * 64}")
    before = s3_bucket.stored_keys()

    [look] = run_json(world, "gc", "gc", "--dry-run")["garbage"]
    assert (look["keys"], look["uploads"], look["bytes"]) == ([orphan], 1, 5)
    assert s3_bucket.stored_keys() == before
    assert "1 unreachable object and 1 unfinished upload removed, 5 B" in world.run("gc").stdout
    assert s3_bucket.stored_keys() == [key for key in before if key != orphan]
    assert "Uploads" not in client.list_multipart_uploads(Bucket=s3_bucket.bucket)
    assert world.run("gc").stdout == "Nothing to remove.\n"


def test_a_retired_digest_goes_when_its_time_is_over_with_the_apply(
    world: World, s3_bucket: S3Bucket, docker_registry: DockerRegistry
) -> None:
    world.apply()
    world.mirrors({"source": f"{docker_registry.host}/app", "tags": ["2"], "retain": "0d"})
    done = run_json(world, "outcome", "apply", "--yes")
    assert done["summary"]["done"] == 1
    [garbage] = done["garbage"]
    assert garbage["objects"] == len(set(app("1").all_blobs()) - set(app("2").all_blobs())) + 3
    assert run_json(world, "verify", "verify", "--deep")["findings"] == []
    assert run_json(world, "gc", "gc", "--dry-run")["garbage"] == []


def test_a_bucket_filled_by_hand_is_taken_over_and_served(
    world: World, s3_bucket: S3Bucket, nginx_edge: Edge, skopeo: Skopeo, tmp_path: Path
) -> None:
    client = s3_bucket.client()

    def upload(key: str, body: bytes) -> None:
        client.put_object(Bucket=s3_bucket.bucket, Key=key, Body=body, ContentType="application/octet-stream")

    for version in "12":
        whole = app(version)
        for digest, body in whole.all_blobs().items():
            upload(f"v2/app/blobs/{digest}", body)
        for manifest in whole.manifests():
            upload(f"v2/app/manifests/{manifest.digest}", manifest.body)
        upload(f"v2/app/manifests/{version}", whole.body)
    upload("notes.txt", b"mine")
    before = client.head_object(Bucket=s3_bucket.bucket, Key="notes.txt")["LastModified"]

    assert [tag["tag"] for tag in run_json(world, "adopt", "adopt", "--dry-run")["repositories"][0]["adopted"]] == [
        "1",
        "2",
    ]
    assert "add --yes" in world.run("adopt", code=1).stderr
    assert "_mirror/index.json" not in s3_bucket.stored_keys()
    assert "Adopt: 2 tags in 1 repository, 8 objects written again." in world.run("adopt", "--yes").stdout
    assert client.head_object(Bucket=s3_bucket.bucket, Key="notes.txt")["LastModified"] == before
    assert changes(world.plan("--detailed-exitcode")) == []
    assert run_json(world, "verify", "verify", "--deep")["findings"] == []
    skopeo("copy", "--all", f"docker://{nginx_edge.host}/app:1", f"oci:{tmp_path / 'pulled'}:1")
    assert "Nothing to adopt." in world.run("adopt", "--yes").stdout

    client.put_object(Bucket=s3_bucket.bucket, Key="_mirror/index.json", Body=b"{")
    assert "r2mirror adopt" in world.run("plan", code=1).stderr
    assert "the mirror index is replaced" in world.run("adopt", "--yes").stdout
    assert changes(world.plan("--detailed-exitcode")) == []


def test_a_lock_says_whose_it_is_and_can_be_broken(world: World, s3_bucket: S3Bucket) -> None:
    client = s3_bucket.client()
    client.put_object(Bucket=s3_bucket.bucket, Key=LOCK, Body=json.dumps(HANGING).encode())
    for command in (["apply", "--yes"], ["gc"], ["verify", "--repair"]):
        error = world.run(*command, code=1).stderr
        assert "'r2mirror apply' on elsewhere, process 7, since 2026-11-20T09:00:00Z" in error
        assert "r2mirror unlock" in error
    assert "waiting: 'r2mirror apply' on elsewhere" in world.run("gc", "--lock-timeout", "1", code=1).stderr
    assert "elsewhere, process 7 is at work" in world.run("verify").stderr
    assert "add --yes" in world.run("unlock", code=1).stderr
    assert world.run("unlock", "--yes").stdout.startswith("Broke the lock of 'r2mirror apply' on elsewhere")
    assert world.run("unlock").stdout == "No run holds the lock.\n"
    world.apply()
    assert LOCK not in s3_bucket.stored_keys()


MANY = 3


@pytest.mark.parametrize(
    ("kind", "waits"),
    [
        pytest.param("bucket", True, id="bucket, waiting"),
        pytest.param("folder", False, id="folder, at once"),
        # What differs between stores is tested with each of them, and so is waiting.
        pytest.param("bucket", False, id="bucket, at once", marks=pytest.mark.rare),
        pytest.param("folder", True, id="folder, waiting", marks=pytest.mark.rare),
    ],
)
def test_of_many_applies_at_once_none_loses_a_tag(
    waits: bool, kind: str, world: World, docker_registry: DockerRegistry, s3_bucket: S3Bucket
) -> None:
    """On the same and on different parts of the file: each does its part, or says who is at work."""
    for number in range(MANY):
        push(app(f"app {number}"), docker_registry.host, f"app{number}", "1")
    if kind == "folder":
        world.store = {"type": "file", "path": "./mirror"}
    names = ["app", *(f"app{number}" for number in range(MANY))]
    world.mirrors(*({"source": f"{docker_registry.host}/{name}", "tags": [{"glob": "*"}]} for name in names))
    calls = [["apply", "--yes", "--format", "json"]] * 2
    calls += [["apply", "--yes", "--format", "json", "--only", name] for name in names]
    runs = [
        subprocess.Popen(
            world.command(*call, *(["--lock-timeout", "100"] if waits else [])),
            cwd=world.folder,
            env=world.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for call in calls
    ]
    ends = [(*run.communicate(timeout=110), run.returncode) for run in runs]
    done = set()
    for output, error, code in ends:
        assert "Traceback" not in error
        if code:
            assert not waits, error
            assert "another run is at work" in error or "has moved on" in error, error
        else:
            for one in json.loads(output)["outcomes"]:
                assert one["status"] == "done"
                done.add((one["target"], one["tag"]))
    assert done
    read = reader(world, s3_bucket)
    repositories = json.loads(read("_mirror/index.json"))["repositories"]
    recorded = {(target, tag) for target, one in repositories.items() for tag in one["tags"]}
    assert done <= recorded
    if waits:
        assert recorded == {("app", "1"), ("app", "2"), *((f"app{number}", "1") for number in range(MANY))}
        assert json.loads(read("v2/_catalog")) == {"repositories": sorted(names)}
    for target, tag in recorded:
        walk(read, target, tag)
    world.apply()
    assert world.run("verify", "--deep").returncode == 0


def reader(world: World, bucket: S3Bucket) -> Callable[[str], bytes]:
    """Reads a key of the world's store."""
    return from_folder(world.folder / "mirror") if world.store["type"] == "file" else from_url(bucket.public_url)


def test_a_wrong_prune_is_undone_from_the_bucket_alone_and_stays_undone(
    world: World, docker_registry: DockerRegistry, s3_bucket: S3Bucket
) -> None:
    world.run("apply", "--yes")
    source = {"source": f"{docker_registry.host}/app"}
    world.mirrors({**source, "tags": ["1"]})
    world.run("apply", "--yes")
    (run, _) = run_json(world, "history", "history", "app")["runs"]
    assert [(one["kind"], one["tag"]) for one in run["events"]] == [("pruned", "2")]

    # The source is gone: nothing listens there any more.
    world.mirrors({"source": "127.0.0.1:9/app", "target": "app", "tags": ["1"]})
    restored = run_json(world, "restore", "restore", "--run", str(run["serials"][1]), "--yes")
    assert [(one["tag"], one["after"]) for one in restored["restored"]] == [("2", app("2").digest)]
    assert walk(reader(world, s3_bucket), "app", "2")
    world.run("verify")
    plan = world.plan(code=1)
    assert changes(plan) == []
    assert set(plan["repositories"][0]["held"]) == {"2"}
