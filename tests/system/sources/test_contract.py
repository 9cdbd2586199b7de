"""What every kind of source does: one suite for a registry, an OCI image layout folder and mirrors of ours."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import BadAnswer, NotFound, SourceError, Unreachable
from reconciler.oci.referrers import fallback_tag
from reconciler.oci.spec import OCI_INDEX, Descriptor, Digest, Index, parse_manifest
from reconciler.sources import quota_of, resolve_again
from reconciler.sources.config import RegistryConfig
from reconciler.sources.opening import open_sources
from tests.memory import described
from tests.parts.images import (
    ForeignLayer,
    Image,
    artifact,
    image,
    index,
    push,
    push_referrer,
    write_layout,
    write_mirror,
)
from tests.parts.seaweedfs import new_bucket

if TYPE_CHECKING:
    from reconciler.sources import OpenSource, Source
    from tests.parts.docker_registry import DockerRegistry
    from tests.parts.seaweedfs import S3Bucket

SHARED = {"base": bytes(100_000)}
APP = index(image(SHARED, {"a": "1"}), image(SHARED, {"a": "2"}, platform="linux/arm64"))
IMAGES = {
    "1.0": APP,
    "latest": APP,
    "docker": image(SHARED, docker=True),
    "docker-list": index(image(SHARED, docker=True), docker=True),
    "nested": index(APP, image(SHARED, platform="linux/s390x")),
    "artifact": artifact(),
    "empty": image(b""),
    "foreign": image(ForeignLayer(b"elsewhere"), SHARED, docker=True),
}
SBOM = artifact("application/vnd.example.sbom", [("text/plain", b"contents")], APP, {"org.example": "1"})
SIGNATURE = artifact("application/vnd.example.signature", [("text/plain", b"signed")], APP)
COSIGN = f"{fallback_tag(Digest.parse(APP.digest))}.sig"


@pytest.fixture(scope="module")
def bucket(seaweedfs: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Bucket]:
    """A bucket with the images and, in a repository of their own, with what is attached to one of them."""
    folder = tmp_path_factory.mktemp("bucket")
    write_mirror(folder, "team/app", IMAGES)
    write_mirror(folder, "team/attached", {**IMAGES, COSIGN: image(b"a signature")}, SBOM, SIGNATURE)
    with new_bucket(seaweedfs, "test-of-sources") as found:
        client = found.client()
        for path in filter(Path.is_file, folder.rglob("*")):
            client.put_object(Bucket=found.bucket, Key=str(path.relative_to(folder)), Body=path.read_bytes())
        yield found


@pytest.fixture(params=["registry", "layout", "mirror", "bucket"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[OpenSource, str]]:
    """How to open sources, and where a repository is that does not exist."""
    environ = {"DOCKER_CONFIG": str(tmp_path)}
    if request.param == "layout":
        write_layout(tmp_path / "images", IMAGES)
        with open_sources({}, tmp_path, environ) as open_source:
            yield open_source, "oci:./images"
        return
    if request.param == "mirror":
        write_mirror(tmp_path / "office", "team/app", IMAGES)
        with open_sources({}, tmp_path, environ) as open_source:
            yield open_source, "mirror:./office//team/app"
        return
    if request.param == "bucket":
        found: S3Bucket = request.getfixturevalue("bucket")
        with open_sources({}, tmp_path, {**environ, **found.environ()}) as open_source:
            yield open_source, f"bucket:{found.endpoint_url}/{found.bucket}//team/app"
        return
    registry = request.getfixturevalue("docker_registry")
    for tag, one in IMAGES.items():
        push(one, registry.host, "team/app", tag)
    with open_sources({registry.host: RegistryConfig(plain_http=True)}, tmp_path, environ) as open_source:
        yield open_source, f"{registry.host}/team/app"


@pytest.fixture
def source(opened: tuple[OpenSource, str]) -> Source:
    open_source, name = opened
    return open_source(name)


def test_a_tag_is_resolved_again_whatever_was_known_of_it(source: Source) -> None:
    app, artifact_ = described(APP), described(IMAGES["artifact"])
    for known in (None, app, artifact_):
        assert resolve_again(source, "latest", known).digest == app.digest
    with pytest.raises(NotFound):
        resolve_again(source, "missing", app)


def test_docker_registry_says_that_a_tag_has_not_moved(docker_registry: DockerRegistry, tmp_path: Path) -> None:
    push(APP, docker_registry.host, "team/still", "1")
    registries = {docker_registry.host: RegistryConfig(plain_http=True)}
    with open_sources(registries, tmp_path, {}) as open_source:
        source = open_source(f"{docker_registry.host}/team/still")
        known = source.resolve("1")
        begun = len(docker_registry.requests())
        assert [resolve_again(source, "1", one) for one in (known, described(SBOM))] == [known, known]
    assert [(one.method, one.status) for one in docker_registry.requests()[begun:]] == [("HEAD", 304), ("HEAD", 200)]


def test_every_tag_once(source: Source) -> None:
    assert sorted(source.tags()) == sorted(IMAGES)


@pytest.mark.parametrize("tag", IMAGES)
def test_a_tag_is_resolved_and_all_its_bytes_are_read(tag: str, source: Source) -> None:
    descriptor = source.resolve(tag)
    assert (str(descriptor.digest), descriptor.media_type, descriptor.size) == (
        IMAGES[tag].digest,
        IMAGES[tag].media_type,
        IMAGES[tag].size,
    )
    for manifest in IMAGES[tag].manifests():
        described = Descriptor(manifest.media_type, Digest.parse(manifest.digest), manifest.size)
        assert source.manifest(described) == manifest.body
        for name, body in manifest.blobs.items():
            assert b"".join(source.blob(Descriptor("x/y", Digest.parse(name), len(body)))) == body


def test_a_digest_is_resolved_whether_a_tag_names_it_or_an_index(source: Source) -> None:
    for manifest in APP.manifests():
        found = source.resolve(manifest.digest)
        assert (str(found.digest), found.media_type, found.size) == (
            manifest.digest,
            manifest.media_type,
            manifest.size,
        )


def test_what_is_not_there_is_not_found(opened: tuple[OpenSource, str], source: Source) -> None:
    nothing = Descriptor(OCI_INDEX, Digest.of(b"nothing"), 7)
    for ask in (
        lambda: source.resolve("nothing"),
        lambda: source.resolve(str(nothing.digest)),
        lambda: source.manifest(nothing),
        lambda: list(source.blob(nothing)),
        lambda: opened[0](f"{opened[1]}x").tags(),
    ):
        with pytest.raises(NotFound):
            ask()


def test_what_is_attached_to_a_digest(opened: tuple[OpenSource, str], tmp_path: Path) -> None:
    open_source, name = opened
    if name.startswith("oci:"):
        attached = index(SBOM, SIGNATURE)
        write_layout(tmp_path / "images", {"attached": attached, COSIGN: image(b"a signature")})
    elif name.startswith("mirror:"):
        write_mirror(tmp_path / "office", "team/app", {**IMAGES, COSIGN: image(b"a signature")}, SBOM, SIGNATURE)
    elif name.startswith("bucket:"):
        name = name.replace("team/app", "team/attached")
    else:
        host = name.partition("/")[0]
        for one in (SBOM, SIGNATURE):
            push_referrer(one, host, "team/app")
        push(image(b"a signature"), host, "team/app", COSIGN)
    source, subject = open_source(name), Digest.parse(APP.digest)
    for listed in (None, frozenset(source.tags())):
        found = source.attachments(subject, listed)
        assert {tag: str(one.digest) for tag, one in found.tags.items()} == {COSIGN: image(b"a signature").digest}
        referrers = found.referrers
        if found.fallback:
            assert referrers is None
            parsed = parse_manifest(source.manifest(found.fallback), found.fallback.media_type, "it")
            assert isinstance(parsed, Index)
            referrers = parsed.manifests
        assert {str(one.digest): one.artifact_type for one in referrers or ()} == {
            SBOM.digest: "application/vnd.example.sbom",
            SIGNATURE.digest: "application/vnd.example.signature",
        }
        assert source.referrers(subject) == found.referrers
    nothing = source.attachments(Digest.of(b"nothing"), None)
    assert (nothing.referrers or (), nothing.fallback, dict(nothing.tags)) == ((), None, {})


def test_the_digest_says_what_a_manifest_is_not_its_size(source: Source) -> None:
    said = Descriptor(APP.media_type, Digest.parse(APP.digest), APP.size + 1)
    if source.name.startswith("oci:"):  # type: ignore[attr-defined]
        with pytest.raises(BadAnswer, match=str(APP.size)):
            source.manifest(said)
    else:
        assert source.manifest(said) == APP.body, "a HEAD may have said it"


def test_sha512_in_a_layout(tmp_path: Path) -> None:
    one = index(image(SHARED, algorithm="sha512"), algorithm="sha512")
    write_layout(tmp_path / "images", {"1": one})
    with open_sources({}, tmp_path, {}) as open_source:
        source = open_source("oci:images")
    for manifest in one.manifests():
        found = source.resolve(manifest.digest)
        assert (str(found.digest), source.manifest(found)) == (manifest.digest, manifest.body)
        for name, body in manifest.blobs.items():
            assert b"".join(source.blob(Descriptor("x/y", Digest.parse(name), len(body)))) == body


def layout(tmp_path: Path, entries: object) -> Source:
    write_layout(tmp_path / "images", {"1": APP})
    (tmp_path / "images/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    with open_sources({}, tmp_path, {}) as open_source:
        return open_source("oci:./images")


def entry(name: str, one: Image = APP) -> dict[str, object]:
    return {**one.descriptor(), "annotations": {"org.opencontainers.image.ref.name": name}}


def test_names_of_a_layout_count_by_their_tag(tmp_path: Path) -> None:
    entries = [
        entry("docker.io/library/app:3"),
        entry("localhost:5000/app:4"),
        entry("plain"),
        entry("docker.io/library/app:5@" + APP.digest),
        entry("docker.io/library/app@" + APP.digest),
        entry("localhost:5000/app"),
        {**APP.descriptor(), "annotations": {"io.containerd.image.name": "docker.io/library/app:6"}},
        {**APP.descriptor(), "annotations": [1]},
        APP.descriptor(),
        entry("@"),
    ]
    assert layout(tmp_path, entries).tags() == ("3", "4", "plain", "5", "6")


def test_a_layout_of_several_repositories(tmp_path: Path) -> None:
    other = artifact()
    names = ["team/app:1", "ghcr.io/team/app:2", "localhost:5000/team/app:3", "localhost/team/app:4"]
    others = ["team/other:1", "team/app", "1", "x/team/app:9", "ghcr.io/team/app@" + APP.digest]
    layout(tmp_path, [*map(entry, names), *(entry(name, other) for name in others)])
    with open_sources({}, tmp_path, {}) as open_source:
        source = open_source("oci:./images//team/app")
        assert source.tags() == ("1", "2", "3", "4")
        assert str(source.resolve("1").digest) == APP.digest
        assert open_source("oci:./images//ghcr.io/team/app").tags() == ("2",)
        assert str(open_source("oci:images//team/other").resolve("1").digest) == other.digest
        with pytest.raises(NotFound, match="names no image of team/none"):
            open_source("oci:images//team/none").tags()
        with pytest.raises(BadAnswer, match="write oci:images//REPOSITORY"):
            open_source("oci:images").tags()


def test_a_layout_is_read_once_and_shared(tmp_path: Path) -> None:
    write_layout(tmp_path / "images", {"1": APP})
    with open_sources({}, tmp_path, {}) as open_source:
        assert open_source("oci:images").tags() == ("1",)
        (tmp_path / "images/index.json").unlink()
        assert str(open_source("oci:images").resolve("1").digest) == APP.digest


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        ("oci:~nobody-of-this-name/images", NotFound, "no user nobody-of-this-name"),
        ("oci:" + "x" * 300, Unreachable, "File name too long"),
        ("oci:nowhere", NotFound, "no file oci-layout"),
        ("oci:nul\0", NotFound, "no file oci-layout"),
    ],
)
def test_a_folder_that_is_not_a_layout(source: str, error: type[SourceError], words: str, tmp_path: Path) -> None:
    with open_sources({}, tmp_path, {}) as open_source, pytest.raises(error, match=words):
        open_source(source).tags()


@pytest.mark.parametrize("place", ["index.json", f"blobs/sha256/{APP.digest.partition(':')[2]}"])
def test_a_pipe_in_a_layout_is_not_waited_for(place: str, tmp_path: Path) -> None:
    write_layout(tmp_path / "images", {"1": APP})
    (tmp_path / "images" / place).unlink()
    os.mkfifo(tmp_path / "images" / place)
    with open_sources({}, tmp_path, {}) as open_source:
        source = open_source("oci:images")
        for read in (lambda: source.manifest(source.resolve("1")), lambda: list(source.blob(source.resolve("1")))):
            with pytest.raises(Unreachable, match="it is a pipe, a socket or a device, not a file"):
                read()


def test_blobs_of_a_layout_may_be_links(tmp_path: Path) -> None:
    """Bazel builds layouts like that."""
    write_layout(tmp_path / "images", {"1": APP})
    blob = tmp_path / "images" / "blobs" / "sha256" / APP.digest.partition(":")[2]
    blob.rename(tmp_path / "elsewhere")
    blob.symlink_to(tmp_path / "elsewhere")
    with open_sources({}, tmp_path, {}) as open_source:
        source = open_source("oci:images")
        assert source.manifest(source.resolve("1")) == APP.body


def test_a_tag_that_a_layout_has_twice_is_an_error(tmp_path: Path) -> None:
    assert layout(tmp_path, [entry("1"), entry("1")]).tags() == ("1",)
    with pytest.raises(BadAnswer, match="the tag 1 twice"):
        layout(tmp_path, [entry("1"), entry("1", artifact())]).tags()


def test_a_layout_that_says_null_has_no_images(tmp_path: Path) -> None:
    assert layout(tmp_path, None).tags() == ()


def test_a_layout_may_leave_out_types(tmp_path: Path) -> None:
    source = layout(tmp_path, [{**entry(tag), "mediaType": None} for tag in ("1", COSIGN)])
    for reference in ("1", APP.digest):
        assert source.resolve(reference) == described(APP), "its own bytes say what it is"
    assert source.attachments(Digest.parse(APP.digest), None).tags == {COSIGN: described(APP)}


@pytest.mark.parametrize("entries", [{}, [1], [{"digest": "sha256:../../etc/passwd", "mediaType": "a/b", "size": 1}]])
def test_an_invalid_index(entries: object, tmp_path: Path) -> None:
    with pytest.raises(BadAnswer, match=r"index\.json"):
        layout(tmp_path, entries).tags()


def test_bytes_that_are_not_those_of_their_name(tmp_path: Path) -> None:
    source = layout(tmp_path, [entry("1")])
    (tmp_path / "images/blobs/sha256" / APP.digest.removeprefix("sha256:")).write_bytes(b"x" * APP.size)
    with pytest.raises(BadAnswer, match="of this digest, got"):
        source.manifest(source.resolve("1"))


def test_bytes_that_are_not_those_of_the_digest_that_was_asked_for(tmp_path: Path) -> None:
    source = layout(tmp_path, [entry("1")])
    child = APP.children[0]
    (tmp_path / "images/blobs/sha256" / child.digest.removeprefix("sha256:")).write_bytes(artifact().body)
    with pytest.raises(BadAnswer, match=artifact().digest):
        source.resolve(child.digest)


def test_a_file_of_another_size_than_the_manifest_says(source: Source) -> None:
    """Neither kind of source gives more than was announced."""
    ((name, body),) = artifact().blobs.items()
    with pytest.raises(BadAnswer, match=r"the 1 bytes|says 1$"):
        list(source.blob(Descriptor("x/y", Digest.parse(name), len(body) - 1)))


def test_those_that_do_not_count_have_no_quota(source: Source) -> None:
    root = source.resolve("1.0")
    assert quota_of(source) is quota_of(source, root) is quota_of(source, root, again=True) is None
