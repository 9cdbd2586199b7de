"""Several sources of one mirror at real registries: one is killed, and one has no pulls left."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pytest

from reconciler.http.patience import Patience
from tests.parts.docker_registry import start_docker_registry
from tests.parts.images import image, push
from tests.parts.scripted_hub import start_docker_hub
from tests.world import InProcess, World, from_folder, walk

if TYPE_CHECKING:
    from pathlib import Path

from tests.parts.docker_registry import DockerRegistry

OLD, NEW, OTHER = (image({"app": name}) for name in ("old", "new", "other"))


@pytest.fixture
def world(tmp_path: Path, docker_registry: DockerRegistry, monkeypatch: pytest.MonkeyPatch) -> World:
    (tmp_path / "user").mkdir()
    # How long a registry that is down is waited for is tested elsewhere.
    monkeypatch.setattr("reconciler.sources.registry.Patience", partial(Patience, attempts=1))
    return InProcess(
        tmp_path / "user", {"type": "file", "path": "./mirror"}, {docker_registry.host: {"plain_http": True}}
    )


def write(world: World, *hosts: str) -> None:
    world.mirrors({"source": [f"{host}/team/app" for host in hosts], "target": "app", "tags": [{"glob": "*"}]})


def published(world: World, tag: str) -> bytes:
    return (world.folder / "mirror/v2/app/manifests" / tag).read_bytes()


def test_a_source_that_is_killed(tmp_path: Path, world: World, docker_registry: DockerRegistry) -> None:
    with start_docker_registry(tmp_path / "first") as first:
        write(world, first.host, docker_registry.host)
        push(OLD, first.host, "team/app", "1")
        push(NEW, first.host, "team/app", "2")
        for tag, one in (("1", OTHER), ("3", OTHER)):
            push(one, docker_registry.host, "team/app", tag)
        (repository,) = world.plan()["repositories"]
        assert {one["tag"]: one.get("source") for one in repository["changes"]} == {
            "1": None,
            "2": None,
            "3": f"{docker_registry.host}/team/app",
        }
        assert f"from {docker_registry.host}/team/app" in world.run("plan").stdout
        world.apply()
        assert published(world, "1") == OLD.body
    # Now it is gone. The other one has another image under `1`, and a new tag with an image of the first one.
    push(NEW, docker_registry.host, "team/app", "4")
    (repository,) = world.plan()["repositories"]
    assert [(one["tag"], one["action"]) for one in repository["changes"]] == [("4", "add")]
    assert repository["error"] is None
    assert any(f"the source {first.host}/team/app fails" in one for one in repository["warnings"])
    assert world.apply()["summary"]["done"] == 1
    assert [published(world, tag) for tag in "1234"] == [OLD.body, NEW.body, OTHER.body, NEW.body]
    for tag in "1234":
        walk(from_folder(world.folder / "mirror"), "app", tag)
    assert not world.plan()["repositories"][0]["changes"]
    listed = world.run("tags", "-f", "mirrors.yaml", "app", "--format", "json").stdout
    assert {one["tag"] for one in json.loads(listed)["tags"]} == {"1", "3", "4"}
    said = json.loads(world.run("doctor", "--format", "json", code=1).stdout)["findings"]
    found = {one["about"]: one["status"] for one in said if one["area"] == "source"}
    assert found == {first.host: "error", docker_registry.host: "ok"}


def test_a_source_without_pulls_left(world: World, docker_registry: DockerRegistry) -> None:
    for tag, one in (("1", OLD), ("2", NEW)):
        push(one, docker_registry.host, "team/app", tag)
    with start_docker_hub(docker_registry.url) as hub:
        hub.left = 1
        world.registries = {**world.registries, hub.host: {"plain_http": True}}
        write(world, hub.host, docker_registry.host)
        assert world.apply()["summary"]["done"] == 2
        assert len(hub.pulls) <= 1
        assert [published(world, tag) for tag in "12"] == [OLD.body, NEW.body]
