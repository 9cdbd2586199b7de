"""The pull secret of a private mirror, through the command: what is in it, and where the token may come from."""

from __future__ import annotations

import base64
import io
import json
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from reconciler.cli.app import run
from tests.world import InProcess

STORE = {"type": "file", "path": "./mirror", "public_url": "https://cr.example.com"}
TOKEN = "r2m_canary-9c1e"
COMMAND = ("client-config", "kubernetes", "--secret", "team-a")


@pytest.fixture
def world(tmp_path: Path) -> InProcess:
    world = InProcess(tmp_path, STORE)
    world.mirrors({"source": "oci:./images", "target": "team-a/app", "tags": ["1"]})
    file = world.folder / "mirrors.yaml"
    access = {"team-a": {"repositories": ["team-a/*"]}}
    file.write_text(json.dumps({**json.loads(file.read_text()), "edge": {"access": access}}))
    return world


@pytest.mark.parametrize("place", ["environment", "stdin"])
def test_the_secret_is_what_a_kubelet_reads(place: str, world: InProcess) -> None:
    if place == "environment":
        world.environ = {"R2MIRROR_PULL_TOKEN": f"{TOKEN}\n"}
        printed = world.run(*COMMAND).stdout
    else:
        with world.streams(*COMMAND) as (out, _):
            sys.stdin = io.StringIO(f"{TOKEN}\n")
            assert run() == 0
        printed = out.getvalue()
    secret = YAML(typ="safe").load(printed)
    assert (secret["kind"], secret["type"]) == ("Secret", "kubernetes.io/dockerconfigjson")
    assert secret["metadata"] == {"name": "r2mirror-team-a"}
    config = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))
    assert base64.b64decode(config["auths"]["cr.example.com"]["auth"]).decode() == f"team-a:{TOKEN}"
    assert "imagePullSecrets: [{name: r2mirror-team-a}]  # with image: cr.example.com/team-a/app:1" in printed
    assert TOKEN not in printed


@pytest.mark.parametrize(
    ("arguments", "token", "words"),
    [
        (("docker", "--secret", "team-a"), TOKEN, "--secret is for kubernetes"),
        (("kubernetes", "--secret", "team-b"), TOKEN, "edge.access has no token of this name, only team-a"),
        (("kubernetes", "--secret", "team-a"), "r2m_canary a", "R2MIRROR_PULL_TOKEN: what it has is not a valid token"),
        (("kubernetes", "--secret", "team-a"), f"r2m_canary{'a' * 1000}", "is not a valid token"),
        (("kubernetes", "--secret", "team-a"), None, "stdin: what it has is not a valid token"),
    ],
)
def test_what_makes_no_secret(arguments: tuple[str, ...], token: str | None, words: str, world: InProcess) -> None:
    world.environ = {"R2MIRROR_PULL_TOKEN": token} if token else {}
    said = world.run("client-config", *arguments, code=1).stderr
    assert words in said
    assert "canary" not in said


def test_a_public_mirror_needs_none(tmp_path: Path) -> None:
    world = InProcess(tmp_path, STORE)
    world.mirrors({"source": "oci:./images", "target": "a", "tags": ["1"]})
    assert "has no edge.access" in world.run(*COMMAND, code=1).stderr
