"""A real process, killed at random moments: what clients see is whole, and the next run gets to where a clean one does.

`R2MIRROR_KILLS` sets how many times each store's run is killed; the figures of a long run are in docs/reliability.md.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from reconciler.target.index_json import parse
from reconciler.target.layout import PAGE
from tests.bench import shown
from tests.parts.images import Image, image, index, push
from tests.parts.seaweedfs import s3_store
from tests.world import World, from_folder, from_url, walk

if TYPE_CHECKING:
    from tests.parts.docker_registry import DockerRegistry
    from tests.parts.seaweedfs import S3Bucket

KILLS = int(os.environ.get("R2MIRROR_KILLS", "1"))
INDEX, LOCK, ROOTS = "_mirror/index.json", "_mirror/lock.json", "_mirror/roots/"


def app(version: str) -> Image:
    own = random.Random(version).randbytes(300_000)
    base = random.Random("base").randbytes(200_000)
    return index(
        *(image({"base": base}, {"own": own, "for": name}, platform=f"linux/{name}") for name in ("amd64", "arm64"))
    )


@pytest.fixture(params=["folder", "bucket"])
def world(
    request: pytest.FixtureRequest, tmp_path: Path, docker_registry: DockerRegistry, s3_bucket: S3Bucket
) -> World:
    (tmp_path / "user").mkdir()
    store = {"type": "file", "path": "./mirror"} if request.param == "folder" else s3_store(s3_bucket)
    world = World(tmp_path / "user", store, {docker_registry.host: {"plain_http": True}}, s3_bucket.environ())
    for repository, tags in {"a": "123456", "b": "12", "c": "13"}.items():
        for tag in tags:
            push(app(tag), docker_registry.host, repository, tag)
    return world


def keys(world: World, bucket: S3Bucket) -> list[str]:
    root = world.folder / "mirror"
    if world.store["type"] != "file":
        return bucket.stored_keys()
    found = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()] if root.exists() else []
    return sorted(key for key in found if not key.startswith(".r2mirror/"))


def reader(world: World, bucket: S3Bucket) -> Callable[[str], bytes]:
    return from_folder(world.folder / "mirror") if world.store["type"] == "file" else from_url(bucket.public_url)


def everything_is_whole(world: World, bucket: S3Bucket) -> None:
    read = reader(world, bucket)
    for key in keys(world, bucket):
        target, marker, reference = key.removeprefix("v2/").partition("/manifests/")
        if marker:
            walk(read, target, reference)


def content(world: World, bucket: S3Bucket) -> dict[str, object]:
    """Everything that is there, but for times and the serial of the mirror index."""
    read = reader(world, bucket)
    found: dict[str, object] = {key: read(key) for key in keys(world, bucket) if not key.startswith(ROOTS)}
    found[INDEX] = {
        target: ({tag: one.digest for tag, one in state.tags.items()}, set(state.retired), state.pending)
        for target, state in parse(read(INDEX), "it").repositories.items()
    }
    found[PAGE] = shown(read(PAGE))
    return found


def wipe(world: World, bucket: S3Bucket) -> None:
    client = bucket.client()
    for key in keys(world, bucket):
        if world.store["type"] == "file":
            (world.folder / "mirror" / key).unlink()
        else:
            client.delete_object(Bucket=bucket.bucket, Key=key)


def is_locked(world: World, bucket: S3Bucket) -> bool:
    if world.store["type"] == "file":
        return (world.folder / "mirror" / LOCK).exists()
    return httpx.head(f"{bucket.public_url}/{LOCK}", verify=False).is_success


def phase(world: World, bucket: S3Bucket) -> str:
    """How far a run had come when it was killed, by what is there."""
    there = keys(world, bucket)
    if LOCK not in there:
        return "after its end"
    recorded = parse(reader(world, bucket)(INDEX), "it").repositories
    if not any(state.pending for state in recorded.values()):
        return "lists and garbage" if set(recorded["a"].tags) == set("456") else "before publishing"
    return "prunes" if "5" in recorded["a"].tags else "publishing"


def test_killed_at_random_moments(world: World, docker_registry: DockerRegistry, s3_bucket: S3Bucket) -> None:
    def mirrors(*wanted: tuple[str, str]) -> None:
        world.mirrors(
            *({"source": f"{docker_registry.host}/{name}", "tags": list(tags), "retain": "0d"} for name, tags in wanted)
        )

    def before() -> None:
        mirrors(("a", "1234"), ("b", "12"))
        world.apply()
        mirrors(("a", "456"), ("c", "13"))

    def start() -> subprocess.Popen[bytes]:
        """A run that has just taken the lock; one that is through before that can be seen has ended."""
        run = subprocess.Popen(
            world.command("apply", "--yes"),
            cwd=world.folder,
            env=world.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while run.poll() is None and not is_locked(world, s3_bucket):
            time.sleep(0.002)
        return run

    before()
    run = start()
    started = time.monotonic()
    assert run.wait(60) == 0
    duration = time.monotonic() - started
    clean = content(world, s3_bucket)
    moments = random.Random(7)
    phases: Counter[str] = Counter()
    for _ in range(KILLS):
        wipe(world, s3_bucket)
        before()
        run = start()
        time.sleep(moments.uniform(0, duration))
        run.kill()
        run.wait(60)
        phases[phase(world, s3_bucket)] += 1
        everything_is_whole(world, s3_bucket)
        world.run("unlock", "--yes")
        world.apply()
        assert content(world, s3_bucket) == clean
    print(f"{world.store['type']}: {dict(phases)}")  # noqa: T201 the figures of a long run
