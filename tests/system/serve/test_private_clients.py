"""Real clients log in to `serve --access` and pull, each with a file of its own for what they remember."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from reconciler.stores.folder import FolderStore
from tests.parts.clients import ClientRefused, new_podman
from tests.parts.images import image
from tests.parts.private import publish
from tests.parts.process import find_program
from tests.parts.serving import running
from tests.world import World

IMAGE = image({"etc/name": "private"})


class Private(NamedTuple):
    """A running `serve --access`, and the token of team-a, which may pull team-a/* only."""

    host: str
    token: str


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Private]:
    world = World(tmp_path_factory.mktemp("private"), {"type": "file", "path": "./mirror"})
    access = {"team-a": {"repositories": ["team-a/*"]}}
    mirror = {"source": "oci:./images", "target": "team-a/app", "tags": ["1"]}
    document = {"version": 1, "store": world.store, "edge": {"access": access}, "mirrors": [mirror]}
    (world.folder / "mirrors.yaml").write_text(json.dumps(document))
    publish(FolderStore(world.folder / "mirror"), {"team-a/app": IMAGE, "team-b/app": IMAGE})
    token = world.run("edge", "token", "create", "team-a", "--access", "tokens.json").stdout.strip()
    with running(world, "--access", "tokens.json") as command:
        yield Private(command.host(), token)


def test_skopeo(private: Private, tmp_path: Path) -> None:
    skopeo = find_program("skopeo", "apt-get install skopeo")
    environ = {"HOME": str(tmp_path), "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}

    def run(*arguments: str, code: int, typed: str = "") -> str:
        done = subprocess.run(
            [skopeo, *arguments], env=environ, input=typed, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == code, done.stderr
        return done.stderr

    def copy(repository: str, code: int) -> str:
        source, into = f"docker://{private.host}/{repository}:1", f"dir:{tmp_path / 'image'}"
        return run("copy", "--src-tls-verify=false", source, into, code=code)

    login = ("login", "--tls-verify=false", "--username", "team-a", "--password-stdin", private.host)
    assert "unauthorized" in copy("team-a/app", 1)
    assert "invalid username/password" in run(*login, code=1, typed="wrong")
    run(*login, code=0, typed=private.token)
    copy("team-a/app", 0)
    assert (tmp_path / "image" / "manifest.json").read_bytes() == IMAGE.body
    copy("team-b/app", 1)


def test_podman(private: Private, tmp_path: Path) -> None:
    insecure = f'[[registry]]\nlocation = "{private.host}"\ninsecure = true'
    with new_podman(insecure, {"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}) as podman:
        with pytest.raises(ClientRefused):
            podman.pull(f"{private.host}/team-a/app:1")
        podman("login", "--username", "team-a", "--password", private.token, private.host)
        assert podman.pull(f"{private.host}/team-a/app:1")
        with pytest.raises(ClientRefused):
            podman.pull(f"{private.host}/team-b/app:1")
