"""A namespace at a real registry: repositories come and go, and the list fails."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.errors import Unreachable
from reconciler.http.patience import Patience
from reconciler.sources.config import RegistryConfig
from reconciler.sources.namespaces.catalog import names
from reconciler.sources.namespaces.place import Place
from tests.parts.images import image, push
from tests.world import InProcess, World, changes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.parts.docker_registry import DockerRegistry

ONE, OTHER = (image({"app": name}) for name in ("one", "other"))


@pytest.fixture
def world(tmp_path: Path, docker_registry: DockerRegistry, monkeypatch: pytest.MonkeyPatch) -> World:
    (tmp_path / "user").mkdir()
    monkeypatch.setattr("reconciler.sources.registry.Patience", partial(Patience, attempts=1))
    return InProcess(
        tmp_path / "user", {"type": "file", "path": "./mirror"}, {docker_registry.host: {"plain_http": True}}
    )


def fail(_: Place) -> Iterator[str]:
    raise Unreachable("the list", "the registry answered 503")


def targets(world: World) -> list[str]:
    return sorted(one["target"] for one in _listing(world))


def _listing(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(world.run("list", "--format", "json").stdout)["repositories"]
    return found


def test_the_life_of_a_namespace(
    world: World, docker_registry: DockerRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = docker_registry.host

    def write(*others: dict[str, Any], **more: Any) -> None:
        world.mirrors({"source": f"{host}/prom/*", "tags": [{"glob": "*"}], **more}, *others)

    for name in ("a", "b/deep", "b-test"):
        push(ONE, host, f"prom/{name}", "1")
    push(ONE, host, "other/c", "1")
    write(exclude_repositories=["*-test"])
    world.apply()
    assert targets(world) == ["prom/a", "prom/b/deep"]

    # A new repository is mirrored by itself.
    push(OTHER, host, "prom/new", "1")
    assert changes(world.plan()) == [("add", "prom/new", "1")]
    world.apply()

    # The list fails: the known ones are still mirrored, and nothing is pruned, whatever is new.
    push(OTHER, host, "prom/a", "2")
    push(OTHER, host, "prom/newer", "1")
    with monkeypatch.context() as patched:
        patched.setattr("reconciler.sources.namespaces.catalog.names", fail)
        plan = world.plan(code=1)
        assert changes(plan) == [("add", "prom/a", "2")]
        assert [one["target"] for one in plan["repositories"] if one["error"]] == ["prom/*"]
        world.run("plan", "--out", "plan", code=1)
        world.run("apply", "--yes", "plan", code=1)
        world.apply(code=1)
        patched.setattr("reconciler.sources.namespaces.catalog.names", lambda _: iter(()))
        assert "lists no repository there" in world.run("plan", code=1).stdout
        patched.setattr("reconciler.sources.namespaces.catalog.names", lambda _: iter(["a"]))
        short = world.plan()
        assert changes(short) == []
        assert "does not list prom/b/deep, prom/new: left as it is" in "\n".join(short["warnings"])
        world.apply()
    assert targets(world) == ["prom/a", "prom/b/deep", "prom/new"]

    # More than one may bring.
    write(exclude_repositories=["*-test"], max_repositories=3)
    world.run("plan", code=1)
    assert "raise max_repositories" in world.run("plan", code=1).stdout

    # An entry of its own takes precedence, and what is excluded is pruned.
    write({"source": f"{host}/prom/a", "target": "own/a", "tags": ["1"]}, exclude_repositories=["*-test", "new*"])
    world.apply("--allow-prune")
    assert targets(world) == ["own/a", "prom/b/deep"]


def test_a_saved_plan_and_a_lockfile(world: World, docker_registry: DockerRegistry) -> None:
    host = docker_registry.host
    push(ONE, host, "prom/a", "1")
    world.mirrors({"source": f"{host}/prom/*", "target": "{name}", "tags": [{"glob": "*"}]})
    world.run("plan", "--out", "plan")
    world.run("lock")
    push(ONE, host, "prom/b", "1")
    before = [one.path for one in docker_registry.requests()]
    world.run("apply", "--yes", "plan")
    assert targets(world) == ["a"]
    assert changes(world.plan("--locked")) == []
    assert not [one for one in [one.path for one in docker_registry.requests()][len(before) :] if "_catalog" in one]
    assert "b:" in world.run("lock").stdout + (world.folder / "mirrors.lock").read_text()
    assert changes(world.plan("--locked")) == [("add", "b", "1")]


def test_the_pages_of_a_catalog(docker_registry: DockerRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.sources.namespaces.catalog.NAMES_A_PAGE", 2)
    for name in ("a/1", "a/2", "b/3", "b/4/x", "b/5"):
        push(ONE, docker_registry.host, name, "1")
    plain = {docker_registry.host: RegistryConfig(plain_http=True)}
    assert [*names(Place(docker_registry.host, "b", plain, {}))] == ["3", "4/x", "5"]
    assert len([one for one in docker_registry.requests() if "_catalog" in one.path]) == 3
    assert len([*names(Place(docker_registry.host, "", plain, {}))]) == 5
