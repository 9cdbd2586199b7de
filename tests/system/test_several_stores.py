"""Several stores of one mirrors file on real parts: a source is asked, and each blob downloaded, once for all."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.stores.folder import FolderStore
from reconciler.target.lock import held
from tests.parts.docker_registry import start_docker_registry
from tests.parts.images import image, push
from tests.parts.scripted_hub import start_docker_hub
from tests.parts.seaweedfs import s3_store
from tests.world import World, from_folder, from_url, walk

if TYPE_CHECKING:
    from tests.parts.docker_registry import DockerRegistry, Request
    from tests.parts.seaweedfs import S3Bucket

LAYER = bytes(range(256)) * 4096


@pytest.fixture
def second_registry(tmp_path: Path) -> Iterator[DockerRegistry]:
    with start_docker_registry(tmp_path / "second-registry") as registry:
        yield registry


@pytest.fixture
def stores(s3_bucket: S3Bucket, second_registry: DockerRegistry) -> dict[str, Any]:
    return {
        "office": {"type": "file", "path": "./office"},
        "public": s3_store(s3_bucket),
        "production": {
            "type": "registry",
            "registry": second_registry.host,
            "state": {"type": "file", "path": "./state"},
        },
    }


@pytest.fixture
def world(
    tmp_path: Path,
    docker_registry: DockerRegistry,
    second_registry: DockerRegistry,
    s3_bucket: S3Bucket,
    stores: dict[str, Any],
) -> World:
    (tmp_path / "user").mkdir()
    hosts = {one.host: {"plain_http": True} for one in (docker_registry, second_registry)}
    world = World(tmp_path / "user", {}, hosts, s3_bucket.environ())
    for tag in ("1", "2"):
        push(image(LAYER, tag.encode() * 99), docker_registry.host, "team/app", tag)
    write(world, docker_registry, stores)
    return world


def write(world: World, source: DockerRegistry, stores: dict[str, Any], **more: Any) -> None:
    mirror = {"source": f"{source.host}/team/app", "target": "app", "tags": [{"glob": "*"}], **more}
    document = {"version": 1, "stores": stores, "registries": world.registries, "mirrors": [mirror]}
    (world.folder / "mirrors.yaml").write_text(json.dumps(document))


def reads(source: DockerRegistry, before: int) -> Counter[str]:
    """What was read from the source since, by method and path without digests."""
    return Counter(f"{one.method} {one.path.split('?')[0]}" for one in asked(source, before))


def asked(source: DockerRegistry, before: int) -> list[Request]:
    return [one for one in source.requests()[before:] if one.path.startswith("/v2/team/app/")]


def test_three_kinds_of_store_are_filled_and_the_source_is_read_once(
    world: World, docker_registry: DockerRegistry, s3_bucket: S3Bucket
) -> None:
    before = len(docker_registry.requests())
    done = world.apply()
    assert list(done["stores"]) == ["office", "public", "production"]
    assert [one["summary"]["done"] for one in done["stores"].values()] == [2, 2, 2]
    requests = reads(docker_registry, before)
    assert max(requests.values()) == 1, requests
    blobs = [one for one in asked(docker_registry, before) if "/blobs/" in one.path]
    # Each has the layer that both images share; one config and one small layer for each image.
    assert len(blobs) == 5
    assert sum(one.size for one in blobs) < len(LAYER) + 4096
    for tag in ("1", "2"):
        walk(from_folder(world.folder / "office"), "app", tag)
        walk(from_url(s3_bucket.public_url), "app", tag)
    world.run("verify", "--deep", "--store", "production")
    before = len(docker_registry.requests())
    again = world.apply()
    assert [one["outcomes"] for one in again["stores"].values()] == [[], [], []]
    assert Counter(one.method for one in asked(docker_registry, before)) == {"GET": 1, "HEAD": 2}


def test_a_new_store_is_filled_from_the_first(
    world: World, docker_registry: DockerRegistry, stores: dict[str, Any]
) -> None:
    write(world, docker_registry, {"office": stores["office"]})
    world.apply()
    write(world, docker_registry, stores)
    before = len(docker_registry.requests())
    done = world.apply()
    assert [one["summary"]["done"] for one in done["stores"].values()] == [0, 2, 2]
    assert Counter(one.method for one in asked(docker_registry, before)) == {"GET": 1, "HEAD": 2}


def test_a_store_that_is_down_holds_back_only_itself(
    world: World, docker_registry: DockerRegistry, stores: dict[str, Any]
) -> None:
    down = {**stores["public"], "endpoint_url": "http://127.0.0.1:9", "bucket": "down"}
    write(world, docker_registry, {"office": stores["office"], "down": down, "production": stores["production"]})
    done = world.run("apply", "--yes", "--format", "json", "--timeout", "60", code=1)
    document = json.loads(done.stdout)
    assert [one["summary"]["done"] for one in document["stores"].values()] == [2, 2]
    assert list(document["stores"]) == ["office", "production"]
    assert "down" in document["errors"]
    assert "error: down: " in done.stderr


@pytest.fixture
def offices(docker_registry: DockerRegistry, second_registry: DockerRegistry) -> dict[str, Any]:
    """Two stores without a bucket, which are filled quickly."""
    state = {"type": "file", "path": "./state"}
    production = {"type": "registry", "registry": second_registry.host, "state": state}
    return {"office": {"type": "file", "path": "./office"}, "production": production}


def test_a_store_whose_lock_is_held_holds_back_only_itself(
    world: World, docker_registry: DockerRegistry, offices: dict[str, Any]
) -> None:
    write(world, docker_registry, offices)
    with held(FolderStore(world.folder / "office"), "another apply"):
        document = json.loads(world.run("apply", "--yes", "--format", "json", code=1).stdout)
    assert document["errors"].keys() == {"office"}
    assert "another apply" in document["errors"]["office"]
    assert document["stores"]["production"]["summary"]["done"] == 2
    assert {name: one["summary"]["done"] for name, one in world.apply()["stores"].items()} == {
        "office": 2,
        "production": 0,
    }


def test_a_guard_that_trips_for_one_store_holds_back_only_its_prunes(
    world: World, docker_registry: DockerRegistry, offices: dict[str, Any]
) -> None:
    for number in range(20):
        push(image(LAYER[:99], b"many"), docker_registry.host, "team/app", f"old-{number}")
    write(world, docker_registry, offices, when_gone="prune")
    world.run("apply", "--yes", "--store", "office")
    write(world, docker_registry, offices, tags=["1", "2"], when_gone="prune")
    document = json.loads(world.run("apply", "--yes", "--format", "json", code=1).stdout)
    office, production = document["stores"]["office"], document["stores"]["production"]
    assert (office["summary"]["skipped"], office["summary"]["done"]) == (20, 0)
    assert (production["summary"]["done"], production["summary"]["skipped"]) == (2, 0)
    world.run("apply", "--yes", "--allow-prune")
    assert len(list((world.folder / "office/v2/app/manifests").glob("old-*"))) == 0


def test_what_an_earlier_store_has_lost_comes_from_the_source(
    world: World, docker_registry: DockerRegistry, stores: dict[str, Any]
) -> None:
    write(world, docker_registry, {"office": stores["office"]})
    world.apply()
    blobs = world.folder / "office/v2/app/blobs"
    for number, blob in enumerate(sorted(blobs.rglob("sha256:*"))):
        if number % 2:
            blob.unlink()
        else:
            blob.write_bytes(b"x" * blob.stat().st_size)
    write(world, docker_registry, stores)
    done = world.apply()
    assert [one["summary"]["failed"] for one in done["stores"].values()] == [0, 0, 0]
    shutil.rmtree(world.folder / "office")
    for one in ("public", "production"):
        assert world.run("verify", "--deep", "--store", one).stdout


def test_a_quota_is_spent_once_for_all_stores(
    world: World, docker_registry: DockerRegistry, stores: dict[str, Any]
) -> None:
    with start_docker_hub(docker_registry.url) as hub:
        hub.limit = hub.left = 2
        world.registries = {**world.registries, hub.host: {"plain_http": True}}
        write(world, replace(docker_registry, host=hub.host), stores)
        plans = world.plan()["stores"].values()
        assert [one["quotas"][0]["pulls"] for one in plans] == [2, 0, 0]
        assert not hub.pulls
        done = world.apply()
        assert [one["summary"] for one in done["stores"].values()] == [{"done": 2, "failed": 0, "skipped": 0}] * 3
        assert len(hub.pulls) == 2
        assert not hub.refused
