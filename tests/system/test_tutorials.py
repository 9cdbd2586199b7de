"""The tutorials work: their mirrors files and commands, as they are printed, on servers that stand for those they name."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.docs_site import ROOT, TUTORIALS, section
from tests.parts.images import image, write_layout
from tests.world import World

if TYPE_CHECKING:
    from tests.parts.docker_registry import DockerRegistry
    from tests.parts.seaweedfs import S3Bucket
    from tests.parts.skopeo import Skopeo


def tutorial(page: str) -> str:
    path, heading = TUTORIALS[page]
    return section((ROOT / path).read_text(), heading)


def mirrors_file(page: str) -> str:
    (found,) = re.findall(r"```yaml\n(version: 1\n.*?)```", tutorial(page), re.DOTALL)
    return str(found)


def commands(page: str) -> list[list[str]]:
    """The calls of r2mirror, in order; serve, which does not end, aside."""
    calls = re.findall(r"^ {4}r2mirror ([^#\n]*)", tutorial(page), re.MULTILINE)
    return [shlex.split(call) for call in calls if not call.startswith("serve")]


def follow(page: str, world: World, text: str, replaced: Mapping[str, str], host: str) -> None:
    """Saves the mirrors file, with `replaced` in the place of what is not here, and runs the commands of the page."""
    for word, new in replaced.items():
        assert word in text
        text = text.replace(word, new)
    (world.folder / "mirrors.yaml").write_text(f"{text}registries:\n  {host}: {{plain_http: true}}\n")
    assert commands(page)
    for call in commands(page):
        # A tutorial's reader confirms on the terminal.
        world.run(*call, *(["--yes"] if call[0] == "apply" else []))
    world.run("plan", "--detailed-exitcode")  # everything is there: 0, not 2


@pytest.fixture
def source(tmp_path: Path, docker_registry: DockerRegistry, skopeo: Skopeo) -> str:
    """A registry with some of alpine: its host."""
    write_layout(tmp_path / "images", {"latest": image(b"3.22"), "3.21.1": image(b"3.21"), "3.22.0": image(b"3.22")})
    for tag in ("latest", "3.21.1", "3.22.0"):
        skopeo("copy", f"oci:{tmp_path / 'images'}:{tag}", f"docker://{docker_registry.host}/library/alpine:{tag}")
    return docker_registry.host


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "home").mkdir()
    return World(tmp_path / "home", {})


def test_a_folder_at_home(world: World, source: str) -> None:
    follow("folder.md", world, mirrors_file("folder.md"), {"docker.io": source}, source)
    tags = world.folder / "mirror/v2/library/alpine/manifests"
    assert {"latest", "3.22.0", "3.21.1"} <= {path.name for path in tags.iterdir()}


def test_registry_to_registry(world: World, source: str, skopeo: Skopeo) -> None:
    replaced = {"docker.io": source, "localhost:5000": source}
    follow("registry.md", world, mirrors_file("registry.md"), replaced, source)
    assert "latest" in skopeo("list-tags", f"docker://{source}/mirror/library/alpine")


def test_s3(world: World, source: str, s3_bucket: S3Bucket) -> None:
    (store,) = re.findall(r"((?:^    store:\n)(?:^ {6}.*\n)+)", tutorial("s3.md"), re.MULTILINE)
    mirrors = mirrors_file("folder.md").partition("mirrors:\n")[2]
    text = f"version: 1\n{textwrap.dedent(store)}mirrors:\n{mirrors}"
    server = f"{s3_bucket.region}\n  endpoint_url: {s3_bucket.endpoint_url} "
    replaced = {
        "docker.io": source,
        "bucket: cr-example\n": f"bucket: {s3_bucket.bucket}\n",
        "eu-central-1 ": server,
    }
    world.environ = {"AWS_ACCESS_KEY_ID": s3_bucket.access_key, "AWS_SECRET_ACCESS_KEY": s3_bucket.secret_key}
    # "The commands are the same as for a folder."
    follow("folder.md", world, text, replaced, source)
    assert any(key.endswith("/manifests/latest") for key in s3_bucket.stored_keys())
