"""`r2mirror tags` against a real registry, behind a login."""

from __future__ import annotations

from pathlib import Path

from tests.parts.docker_registry import HTPASSWD, start_docker_registry
from tests.parts.images import image, push
from tests.world import World

NEWEST = '{semver: ">=1", newest: 2}'
LOGIN = ("user", "s3cret")


def test_the_tags_of_a_repository_behind_a_login(tmp_path: Path) -> None:
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    auth = {"auth": {"htpasswd": {"realm": "test", "path": str(tmp_path / "htpasswd")}}}
    with start_docker_registry(tmp_path / "registry", auth) as registry:
        app, source = image({"a": "1"}), f"{registry.host}/team/app"
        for tag in ("1.0", "1.1", "1.2", "1", "latest"):
            push(app, registry.host, "team/app", tag, auth=LOGIN)
        registries = {registry.host: {"plain_http": True, "username_env": "NAME", "password_env": "PASS"}}
        world = World(tmp_path, {"type": "file", "path": "./mirror"}, registries)
        world.environ = {"NAME": LOGIN[0], "PASS": LOGIN[1]}
        world.mirrors({"source": source, "target": "app", "tags": [{"semver": "1.x", "newest": 1}], "exclude": ["1.2"]})

        # Both ways use the login of the mirrors file in this folder.
        lines = world.run("tags", source, NEWEST).stdout.splitlines()
        assert [line.split()[1] for line in lines if line.startswith("+")] == ["1.1", "1.2"]
        assert lines[-1] == f"2 of 5 tags of {source} chosen."
        assert "+ 1.1\n" in world.run("tags", "-f", "mirrors.yaml", "app").stdout
        assert not (tmp_path / "mirror").exists(), "nothing is written"

        world.environ = {"NAME": LOGIN[0], "PASS": "wrong"}
        refused = world.run("tags", source, NEWEST, code=1)
        assert "the login from NAME and PASS was refused" in refused.stderr
        assert "wrong" not in refused.stderr
        assert not refused.stdout
