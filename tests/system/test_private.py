"""Images behind a login, on their way into a store that everyone can read."""

from __future__ import annotations

import json
from pathlib import Path

from tests.parts.docker_registry import HTPASSWD, start_docker_registry
from tests.parts.images import image, push
from tests.world import World


def test_a_plan_says_once_that_private_images_become_public(tmp_path: Path) -> None:
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    auth = {"auth": {"htpasswd": {"realm": "test", "path": str(tmp_path / "htpasswd")}}}
    with start_docker_registry(tmp_path / "registry", auth) as registry:
        push(image({"a": "1"}), registry.host, "team/app", "1", auth=("user", "s3cret"))
        login = {"plain_http": True, "username_env": "NAME", "password_env": "PASS"}
        world = World(tmp_path, {"type": "file", "path": "./mirror"}, {registry.host: login})
        world.environ = {"NAME": "user", "PASS": "s3cret"}
        mirror = {"source": f"{registry.host}/team/app", "target": "team/app", "tags": ["1"]}

        world.mirrors(mirror)
        assert "warnings" not in world.plan()

        world.store = {**world.store, "public_url": "https://cr.example.com"}
        world.mirrors(mirror)
        (warning,) = world.plan()["warnings"]
        assert f"{registry.host}/team/app: the source wants a login" in warning
        assert "https://cr.example.com will serve its images to everyone" in warning

        file = world.folder / "mirrors.yaml"
        document = file.read_text()
        file.write_text(json.dumps({**json.loads(document), "edge": {"access": {"ci": {"repositories": ["*"]}}}}))
        assert "warnings" not in world.plan(), "a login is asked for here, too"
        file.write_text(document)

        world.apply()
        assert "warnings" not in world.plan()
