"""Charts of a classic repository that nginx serves, mirrored and read by real clients as those that helm pushes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import BadAnswer, Denied, NotFound
from reconciler.oci.spec import Digest
from reconciler.sources.config import RegistryConfig
from reconciler.sources.helm_chart import CHART, CONFIG, PROVENANCE
from reconciler.sources.opening import open_sources
from reconciler.stores.folder import FolderStore
from tests.parts.charts import chart, provenance, serving_charts, write_repository
from tests.parts.serving import serving
from tests.world import InProcess

if TYPE_CHECKING:
    from reconciler.sources import Source
    from tests.parts.docker_registry import DockerRegistry
    from tests.parts.skopeo import Skopeo

CHARTS = {
    ("web", "1.0.0"): chart("web", "1.0.0", description="A <web> & more", home="https://example.com"),
    ("web", "1.1.0+build.5"): chart("web", "1.1.0+build.5"),
    ("web", "2.0.0-rc.1"): chart("web", "2.0.0-rc.1"),
    ("db", "0.1.0"): chart("db", "0.1.0"),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "charts"
    for path in (folder, folder / "private", folder / "wrong"):
        path.mkdir()
    write_repository(folder, CHARTS)
    write_repository(folder / "private", CHARTS)
    write_repository(folder / "wrong", CHARTS)
    packed = CHARTS["web", "1.0.0"]
    (folder / "web-1.0.0.tgz.prov").write_bytes(provenance(packed, "web", "1.0.0"))
    (folder / "wrong/web-1.0.0.tgz").write_bytes(packed + b"x")
    (folder / "wrong/db-0.1.0.tgz.prov").write_bytes(provenance(packed, "db", "0.1.0"))
    return folder


@pytest.fixture
def host(tmp_path: Path, root: Path) -> Iterator[str]:
    with serving_charts(tmp_path / "nginx", root) as host:
        yield host


def ask(
    source: str, config: RegistryConfig | None = None, environ: Mapping[str, str] | None = None
) -> Iterator[Source]:
    host = source.partition("//")[2].partition("/")[0]
    with open_sources({host: config} if config else {}, Path(), environ or {}) as open_source:
        yield open_source(source)


def test_charts_are_mirrored_as_helm_pushes_them_and_read_by_clients(
    tmp_path: Path, host: str, docker_registry: DockerRegistry, skopeo: Skopeo
) -> None:
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    source = f"helm:http://{host}//web"
    world.mirrors({"source": source, "target": "charts/web", "tags": [{"semver": "*"}], "immutable": [{"glob": "*"}]})
    world.run("apply", "--yes")
    with serving(FolderStore(tmp_path / "mirror")) as mirror:
        name = f"docker://{mirror.host}/charts/web"
        assert json.loads(skopeo("list-tags", name))["Tags"] == ["1.0.0", "1.1.0_build.5"]
        raw = skopeo("inspect", "--raw", f"{name}:1.0.0")
        skopeo("copy", f"{name}:1.0.0", f"dir:{tmp_path / 'pulled'}")
        skopeo("copy", f"{name}:1.0.0", f"docker://{docker_registry.host}/charts/web:1.0.0")
    packed, manifest = CHARTS["web", "1.0.0"], json.loads(raw)
    assert manifest["config"]["mediaType"] == CONFIG
    layers = {one["mediaType"]: one["digest"] for one in manifest["layers"]}
    assert layers == {
        CHART: f"sha256:{hashlib.sha256(packed).hexdigest()}",
        PROVENANCE: str(Digest.of(provenance(packed, "web", "1.0.0"))),
    }
    assert (tmp_path / "pulled" / hashlib.sha256(packed).hexdigest()).read_bytes() == packed
    assert manifest["annotations"]["org.opencontainers.image.created"] == "2023-11-14T22:13:20Z"
    before = world.plan()
    assert before["summary"] == {"add": 0, "update": 0, "prune": 0, "unchanged": 2, "errors": 0}
    # The same chart from a registry is the same artifact, and mirrored like an image.
    world.mirrors({"source": f"{docker_registry.host}/charts/web", "tags": ["1.0.0"], "platforms": ["linux/amd64"]})
    world.run("apply", "--yes")
    world.run("verify")
    (oci,) = json.loads(world.run("list", "charts/web", "--format", "json").stdout)["repositories"]
    assert oci["tags"][0]["digest"] == str(Digest.of(raw.encode()))


def test_every_version_is_a_tag_and_its_digest_is_the_same_each_time(host: str) -> None:
    digests = []
    for _ in range(2):
        for source in ask(f"helm:http://{host}//web"):
            assert sorted(source.tags()) == ["1.0.0", "1.1.0_build.5", "2.0.0-rc.1"]
            found = source.resolve("1.0.0")
            assert source.resolve(str(found.digest)) == found
            assert Digest.of(source.manifest(found)) == found.digest
            digests.append(found.digest)
    assert len(set(digests)) == 1


def test_a_digest_is_found_by_a_run_that_has_not_resolved_its_tag(host: str) -> None:
    (found,) = [source.resolve("1.0.0") for source in ask(f"helm:http://{host}//web")]
    for source in ask(f"helm:http://{host}//web"):
        assert source.described(found.digest) == found
        with pytest.raises(NotFound, match="pin versions by their tag"):
            source.resolve(str(Digest.of(b"nothing")))


def test_redirects_are_followed(host: str) -> None:
    for source in ask(f"helm:http://{host}/moved//db"):
        assert source.tags() == ("0.1.0",)
        assert source.resolve("0.1.0").size > 0


def test_a_login(host: str) -> None:
    name = f"helm:http://{host}/private//db"
    for source in ask(name):
        with pytest.raises(Denied, match="401"):
            source.tags()
    config = RegistryConfig(username_env="USER_OF_CHARTS", password_env="PASSWORD_OF_CHARTS", plain_http=True)
    for source in ask(name, config, {"USER_OF_CHARTS": "me", "PASSWORD_OF_CHARTS": "secret"}):
        assert source.resolve("0.1.0").size > 0


def test_what_is_wrong_is_refused_and_named(host: str) -> None:
    for source in ask(f"helm:http://{host}/wrong//web"):
        with pytest.raises(BadAnswer, match=r"web:1.0.0: expected a chart of the digest sha256:"):
            source.resolve("1.0.0")
        with pytest.raises(NotFound, match=r"index.yaml has no such version of web"):
            source.resolve("9.9.9")
    for source in ask(f"helm:http://{host}/wrong//db"):
        with pytest.raises(BadAnswer, match=r"its provenance file \(.prov\) is about another .tgz"):
            source.resolve("0.1.0")
    for source in ask(f"helm:http://{host}//nothing"):
        with pytest.raises(NotFound, match="has no chart nothing; check the name"):
            source.tags()
    for source in ask(f"helm:http://{host}/nowhere//web"):
        with pytest.raises(NotFound, match="has no such chart index"):
            source.tags()


def test_an_index_may_not_send_us_into_the_network(root: Path, host: str) -> None:
    write_repository(root, CHARTS, "http://169.254.169.254/latest/")
    for source in ask(f"helm:http://{host}//web"):
        with pytest.raises(BadAnswer, match=r"169\.254\.169\.254"):
            source.resolve("1.0.0")
