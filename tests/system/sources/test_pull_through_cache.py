"""A real docker-registry as a pull-through cache of another one, named as its mirror."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.parts.docker_registry import start_docker_registry
from tests.parts.images import image, push
from tests.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from tests.parts.docker_registry import DockerRegistry

OLD, NEW, NEWER = (image({"app": version}) for version in ("old", "new", "newer"))


def fetched(registry: DockerRegistry) -> set[str]:
    """The last parts of the paths of all GETs that were answered with content."""
    answered = (one for one in registry.requests() if one.method == "GET" and one.status == 200)
    return {one.path.partition("?")[0].rpartition("/")[2] for one in answered}


def test_content_comes_through_the_cache_and_tags_do_not(tmp_path: Path) -> None:
    with start_docker_registry(tmp_path / "home") as home:
        push(OLD, home.host, "team/app", "1")
        keys = {"plain_http": True}
        with start_docker_registry(tmp_path / "cache", {"proxy": {"remoteurl": home.url}}) as cache:
            registries = {home.host: {**keys, "mirrors": [cache.host]}, cache.host: keys}
            world = World(tmp_path, {"type": "file", "path": "./mirror"}, registries)
            world.mirrors({"source": f"{home.host}/team/app", "tags": ["1"]})
            assert world.apply()["summary"]["done"] == 1
            assert {OLD.digest, *OLD.all_blobs()} <= fetched(cache)
            push(NEW, home.host, "team/app", "1")
            assert world.apply()["summary"]["done"] == 1, "the cache may still have the old digest under the tag"
            assert {NEW.digest, *NEW.all_blobs()} <= fetched(cache)
        push(NEWER, home.host, "team/app", "1")
        done = world.run("apply", "--yes")
        assert f"the mirror {cache.host} fails, and the next host is asked instead" in done.stderr
        assert (tmp_path / "mirror/v2/team/app/manifests/1").read_bytes() == NEWER.body
        assert {NEWER.digest, *NEWER.all_blobs()} <= fetched(home)
