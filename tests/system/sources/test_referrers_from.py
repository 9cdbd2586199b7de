"""Images whose attachments are in another repository of a real registry, as with cosign's COSIGN_REPOSITORY."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import NotFound
from reconciler.oci.referrers import fallback_tag
from reconciler.oci.spec import Descriptor, Digest
from reconciler.sources.config import RegistryConfig
from reconciler.sources.opening import open_sources
from tests.parts.images import artifact, image, index, push
from tests.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from tests.parts.docker_registry import DockerRegistry

APP = image({"app": "1"})
SIGNATURE = image(b"a signature")
SBOM = artifact("application/vnd.example.sbom", [("text/plain", b"contents")], APP)
NAME = f"{fallback_tag(Digest.parse(APP.digest))}.sig"


@pytest.fixture
def registry(docker_registry: DockerRegistry) -> DockerRegistry:
    push(APP, docker_registry.host, "team/app", "1")
    push(SIGNATURE, docker_registry.host, "team/signatures", NAME)
    push(SBOM, docker_registry.host, "team/signatures", "sbom")
    push(index(SBOM), docker_registry.host, "team/signatures", fallback_tag(Digest.parse(APP.digest)))
    return docker_registry


def test_attachments_come_from_there_and_images_do_not(registry: DockerRegistry, tmp_path: Path) -> None:
    world = World(tmp_path, {"type": "file", "path": "./mirror"}, {registry.host: {"plain_http": True}})
    source = f"{registry.host}/team/app"
    entry = {"source": source, "tags": ["1"], "referrers": True, "referrers_from": f"{registry.host}/team/signatures"}
    world.mirrors(entry)
    assert world.apply()["summary"]["done"] == 1
    manifests = tmp_path / "mirror/v2/team/app/manifests"
    assert (manifests / "1").read_bytes() == APP.body
    assert (manifests / NAME).read_bytes() == SIGNATURE.body
    listed = json.loads((tmp_path / f"mirror/v2/team/app/referrers/{APP.digest}").read_bytes())["manifests"]
    assert [one["digest"] for one in listed] == [SBOM.digest]
    assert not world.plan()["repositories"][0]["changes"]
    world.run("verify", "--deep")


def test_what_neither_has_is_not_found(registry: DockerRegistry, tmp_path: Path) -> None:
    nothing = Descriptor("a/b", Digest.of(b"nothing"), 7)
    source = f"{registry.host}/team/app"
    with open_sources(
        {registry.host: RegistryConfig(plain_http=True)},
        tmp_path,
        {"DOCKER_CONFIG": str(tmp_path)},
        attached={source: f"{registry.host}/team/signatures"},
    ) as open_source:
        opened = open_source(source)
        for ask in (lambda: list(opened.blob(nothing)), lambda: opened.manifest(nothing), lambda: opened.resolve("2")):
            with pytest.raises(NotFound):
                ask()
        assert opened.tags() == ("1",)
        with pytest.raises(NotFound, match="team/app@"):
            opened.manifest(nothing)
