"""`lock`, `--locked`, `copy` and `remove` on every real kind of store: what clients pull is what was locked or copied."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from reconciler.oci.spec import Digest
from tests.parts.docker_registry import DockerRegistry, start_docker_registry
from tests.parts.images import app, write_layout
from tests.parts.registry_contents import from_registry
from tests.parts.seaweedfs import s3_store
from tests.world import InProcess, changes, from_url, walk

APP = "team/app"


@dataclass(frozen=True)
class Case:
    """A user, and the digest that a tag of the target has for others; None where it has none."""

    world: InProcess
    digest: Callable[[str], str | None]

    @property
    def served(self) -> dict[str, str]:
        return {tag: found for tag in ("1", "2", "3") if (found := self.digest(tag))}

    def push(self, **images: str) -> None:
        """Puts images at the source, by their tags after a `v`."""
        write_layout(self.world.folder / "images", {tag[1:]: app(content) for tag, content in images.items()})


def _pulled(read: Callable[[str], bytes]) -> Callable[[str], str | None]:
    """The digest of a tag, after all that it refers to was read as a client does."""

    def digest(tag: str) -> str | None:
        try:
            body = read(f"v2/{APP}/manifests/{tag}")
        except httpx.HTTPStatusError:
            return None
        found = str(Digest.of(body))
        assert found in walk(read, APP, found)
        return found

    return digest


def _named(index: Callable[[], bytes]) -> Callable[[str], str | None]:
    """The digest of a tag in the index of an image layout."""

    def digest(tag: str) -> str | None:
        names = {
            one["annotations"]["org.opencontainers.image.ref.name"]: one["digest"]
            for one in json.loads(index())["manifests"]
            if one.get("annotations", {}).get("org.opencontainers.image.ref.name")
        }
        return names.get(f"{APP}:{tag}")

    return digest


def _in_tar(path: Path) -> bytes:
    with tarfile.open(path) as archive:
        found = archive.extractfile("index.json")
        assert found
        return found.read()


def pushing(folder: Path, host: str, **keys: str) -> Case:
    """A user whose store is a registry."""
    store = {"type": "registry", "registry": host, "state": {"type": "file", "path": "./state"}, **keys}
    world = InProcess(folder, store, {host: {"plain_http": True}})
    return Case(world, _pulled(from_registry(f"http://{host}")))


@pytest.fixture
def deleting_registry(tmp_path: Path) -> Iterator[DockerRegistry]:
    """A registry that deletes manifests, and no tags."""
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "data")}, "delete": {"enabled": True}}
    with start_docker_registry(tmp_path / "registry", {"storage": storage}) as registry:
        yield registry


@pytest.fixture(params=["bucket", "registry", "image layout", "image layout in one file"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    folder = tmp_path / "user"
    folder.mkdir()
    match request.param:
        case "bucket":
            bucket = request.getfixturevalue("s3_bucket")
            world = InProcess(folder, s3_store(bucket), {}, bucket.environ())
            made = Case(world, _pulled(from_url(bucket.public_url)))
        case "registry":
            made = pushing(folder, request.getfixturevalue("deleting_registry").host, delete="untag")
        case "image layout":
            world = InProcess(folder, {"type": "oci", "path": "./out"})
            made = Case(world, _named((folder / "out/index.json").read_bytes))
        case _:
            world = InProcess(folder, {"type": "oci", "path": "./out.tar"})
            made = Case(world, _named(lambda: _in_tar(folder / "out.tar")))
    made.world.mirrors({"source": "oci:./images", "target": APP, "tags": [{"glob": "*"}]})
    made.push(v1="one", v2="two")
    return made


def digests(**images: str) -> dict[str, str]:
    return {tag[1:]: app(content).digest for tag, content in images.items()}


def test_a_lockfile_decides_what_clients_pull(case: Case) -> None:
    case.world.run("lock")
    case.push(v1="moved", v2="two", v3="three")
    case.world.apply("--locked")
    assert case.served == digests(v1="one", v2="two")
    assert changes(case.world.plan("--locked")) == []
    case.world.run("lock", "--update")
    assert changes(case.world.plan("--locked")) == [("add", APP, "3"), ("update", APP, "1")]
    case.world.apply("--locked")
    assert case.served == digests(v1="moved", v2="two", v3="three")


def test_what_is_copied_or_removed_by_hand_stays_so(case: Case) -> None:
    case.world.mirrors({"source": "oci:./images", "target": APP, "tags": ["1", "2"]})
    case.world.apply()
    case.push(v1="one", v2="two", v3="three")
    case.world.run("copy", "oci:./images:3", APP, "--yes")
    case.world.run("remove", f"{APP}:1", "--yes")
    assert case.served == digests(v2="two", v3="three")
    assert case.world.apply()["summary"]["done"] == 0
    assert case.served == digests(v2="two", v3="three")
    assert "all as the mirror index says" in case.world.run("verify", "--deep").stdout
    case.world.run("release", f"{APP}:1", f"{APP}:3")
    case.world.apply()
    assert case.served == digests(v1="one", v2="two")


def test_a_tag_that_a_registry_cannot_delete_is_not_called_removed(
    tmp_path: Path, docker_registry: DockerRegistry
) -> None:
    case = pushing(tmp_path, docker_registry.host)
    case.world.mirrors({"source": "oci:./images", "target": APP, "tags": ["1", "2"]})
    case.push(v1="one", v2="two")
    case.world.apply()
    told = case.world.run("remove", f"{APP}:1", "--yes", code=1).stdout
    assert told.startswith(
        f"{APP}:1 is removed from the mirror index, and clients can still pull {app('one').digest} by it: the registry "
        "does not delete tags; it stays there until it is removed by hand.\n"
    )
    assert case.served == digests(v1="one", v2="two")
