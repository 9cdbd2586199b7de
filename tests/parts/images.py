"""Builds real images on the spot, byte for byte the same each time, and puts them where a source can be read from.

An `Image` is a value: its manifest's exact bytes with everything it refers to. The functions here make one of each
shape that registries hold; `write_layout` puts images into an OCI image layout folder, `push` into a running registry.

    app = index(image({"bin/app": "v1"}), image({"bin/app": "v1 arm"}, platform="linux/arm64"))
    write_layout(folder, {"1.0": app, "latest": app})
    push(app, "127.0.0.1:5000", "team/app", "1.0")
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
BUILDKIT_CONFIG = "application/vnd.buildkit.cacheconfig.v0"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
OCI_FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"


@dataclass(frozen=True)
class Image:
    """A manifest or an index. `blobs` maps digest to bytes, `children` are the manifests of an index.

    `entry` is what an index says of it beside media type, digest and size: platform, annotations.
    """

    media_type: str
    body: bytes
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    children: tuple[Image, ...] = ()
    entry: Mapping[str, Any] = field(default_factory=dict)
    algorithm: str = "sha256"

    @property
    def digest(self) -> str:
        return digest_of(self.body, self.algorithm)

    @property
    def size(self) -> int:
        """Bytes of the manifest itself."""
        return len(self.body)

    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size, **self.entry}

    def manifests(self) -> Iterator[Image]:
        """Every manifest below and this one, children first."""
        for child in self.children:
            yield from child.manifests()
        yield self

    def all_blobs(self) -> dict[str, bytes]:
        """Digest to bytes of every blob below."""
        return {digest: body for manifest in self.manifests() for digest, body in manifest.blobs.items()}


@dataclass(frozen=True)
class ForeignLayer:
    """A layer whose bytes are at `urls` and nowhere else."""

    body: bytes
    urls: tuple[str, ...] = ("https://layers.example.com/base.tar.gz",)


def digest_of(body: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"


def layer(files: Mapping[str, str | bytes]) -> bytes:
    """A tar.gz of `files`, path to content, with no time, user or machine in it."""
    return gzip.compress(_tar(files), compresslevel=6, mtime=0)


def image(
    *layers: Mapping[str, str | bytes] | bytes | ForeignLayer,
    platform: str = "linux/amd64",
    docker: bool = False,
    algorithm: str = "sha256",
    annotations: Mapping[str, str] | None = None,
) -> Image:
    """An image with a config that lists its layers: files for a real layer, or a layer's bytes as they are (`b""` too).

    `docker` makes it a Docker schema 2 image. `algorithm` is the digests' own, of manifest, config and layers.
    """
    built = [layer(content) if not isinstance(content, bytes | ForeignLayer) else content for content in layers]
    config = _json(
        {
            **_platform(platform),
            "config": {"Entrypoint": ["/bin/app"]},
            "rootfs": {"type": "layers", "diff_ids": [_diff_id(content) for content in built]},
        }
    )
    stored = [content for content in built if isinstance(content, bytes)]
    media_type = DOCKER_MANIFEST if docker else OCI_MANIFEST
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": _descriptor(DOCKER_CONFIG if docker else OCI_CONFIG, config, algorithm),
        "layers": [_layer_descriptor(content, algorithm, docker=docker) for content in built],
        **({"annotations": dict(annotations)} if annotations else {}),
    }
    return Image(
        media_type,
        _json(manifest),
        {digest_of(body, algorithm): body for body in (config, *stored)},
        entry={"platform": _platform(platform)},
        algorithm=algorithm,
    )


def index(
    *images: Image,
    docker: bool = False,
    algorithm: str = "sha256",
    annotations: Mapping[str, str] | None = None,
    blobs: Sequence[tuple[str, bytes]] = (),
) -> Image:
    """An image index of `images`, which may be indexes themselves; `docker` makes it a Docker manifest list.

    `blobs` are entries that are not manifests, as (media type, bytes).
    """
    media_type = DOCKER_LIST if docker else OCI_INDEX
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "manifests": [child.descriptor() for child in images]
        + [_descriptor(media_type, body, algorithm) for media_type, body in blobs],
        **({"annotations": dict(annotations)} if annotations else {}),
    }
    stored = {digest_of(body, algorithm): body for _, body in blobs}
    return Image(media_type, _json(document), stored, children=images, algorithm=algorithm)


def build_cache(*layers: bytes) -> Image:
    """A cache as BuildKit exports it to a registry: an index of layers and of its own configuration, all of them blobs.

    See cache/remotecache/export.go of moby/buildkit.
    """
    config = _json({"layers": [{"blob": digest_of(body)} for body in layers], "records": []})
    return index(blobs=[*((OCI_LAYER, body) for body in layers), (BUILDKIT_CONFIG, config)])


def artifact(
    artifact_type: str = "application/vnd.example.note",
    layers: Sequence[tuple[str, bytes]] = (),
    subject: Image | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Image:
    """An artifact of the image specification 1.1: an empty config, `layers` as (media type, bytes), often none.

    With a `subject` it is a referrer of that image, such as a signature or an SBOM.
    """
    empty = b"{}"
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": _descriptor(OCI_EMPTY, empty),
        "layers": [_descriptor(media_type, body) for media_type, body in layers],
    }
    if subject:
        document["subject"] = {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.size}
    if annotations:
        document["annotations"] = dict(annotations)
    return Image(OCI_MANIFEST, _json(document), {digest_of(body): body for body in (empty, *(b for _, b in layers))})


def cosign_signature(payload: bytes, signature: str) -> Image:
    """What cosign pushes as the tag `sha256-<hex>.sig`; `signature` is that of `payload`, in base64."""
    config = _json({"architecture": "", "os": "", "rootfs": {"type": "layers", "diff_ids": [digest_of(payload)]}})
    layer = {
        **_descriptor("application/vnd.dev.cosign.simplesigning.v1+json", payload),
        "annotations": {"dev.cosignproject.cosign/signature": signature},
    }
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _descriptor(OCI_CONFIG, config),
        "layers": [layer],
    }
    return Image(OCI_MANIFEST, _json(document), {digest_of(body): body for body in (config, payload)})


def attestation(of: Image) -> Image:
    """The attestation manifest that BuildKit puts beside the image `of` in an index: a provenance statement."""
    statement = _json(
        {"_type": "https://in-toto.io/Statement/v0.1", "subject": [{"digest": {"sha256": of.digest[7:]}}]}
    )
    config = _json({"architecture": "unknown", "os": "unknown", "rootfs": {"type": "layers", "diff_ids": []}})
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _descriptor(OCI_CONFIG, config),
        "layers": [
            {
                **_descriptor("application/vnd.in-toto+json", statement),
                "annotations": {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"},
            }
        ],
    }
    entry = {
        "annotations": {
            "vnd.docker.reference.digest": of.digest,
            "vnd.docker.reference.type": "attestation-manifest",
        },
        "platform": {"architecture": "unknown", "os": "unknown"},
    }
    return Image(OCI_MANIFEST, _json(document), {digest_of(body): body for body in (config, statement)}, entry=entry)


def write_layout(folder: Path, tags: Mapping[str, Image]) -> None:
    """Writes an OCI image layout (image specification, image-layout.md); tags that an earlier call wrote stay."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    for tagged in tags.values():
        for manifest in tagged.manifests():
            _write_blob(folder, manifest.digest, manifest.body)
        for digest, body in tagged.all_blobs().items():
            _write_blob(folder, digest, body)
    index_file = folder / "index.json"
    earlier = json.loads(index_file.read_bytes())["manifests"] if index_file.exists() else []
    kept = [entry for entry in earlier if entry["annotations"][_REF_NAME] not in tags]
    entries = kept + [_tagged(tag, tagged) for tag, tagged in tags.items()]
    index_file.write_bytes(_json({"schemaVersion": 2, "manifests": entries}))


def write_mirror(folder: Path, repository: str, tags: Mapping[str, Image], *referrers: Image) -> None:
    """Writes a repository as r2mirror lays it out; each of the `referrers` names its subject."""
    base = folder / "v2" / repository
    lists: dict[str, list[dict[str, Any]]] = {}
    for one in referrers:
        document = json.loads(one.body)
        row = {**one.descriptor(), "artifactType": document.get("artifactType") or document["config"]["mediaType"]}
        lists.setdefault(document["subject"]["digest"], []).append(row)
    for tag, tagged in tags.items():
        _write(base / "manifests" / tag, tagged.body)
    for one in (*tags.values(), *referrers):
        for manifest in one.manifests():
            _write(base / "manifests" / manifest.digest, manifest.body)
            for digest, body in manifest.blobs.items():
                _write(base / "blobs" / digest, body)
    for subject, rows in lists.items():
        body = _json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": rows})
        _write(base / "referrers" / subject, body)
    _write(base / "tags/list", _json({"name": repository, "tags": sorted(tags)}))


def _write(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)


def push(image: Image, host: str, repository: str, tag: str, auth: tuple[str, str] | None = None) -> None:
    """Puts an image into the registry at `host` over plain http: blobs, child manifests, then the tag.

    `auth` is a user and password for basic authentication. Raises `httpx.HTTPStatusError` where the registry refuses.
    """
    with httpx.Client(base_url=f"http://{host}/v2/{repository}/", auth=auth, trust_env=False, timeout=60) as client:
        for digest, body in image.all_blobs().items():
            _push_blob(client, digest, body)
        for manifest in image.manifests():
            # A registry takes a manifest by a digest of its own algorithm only; by tag it takes any.
            if manifest is not image:
                _push_manifest(client, manifest, manifest.digest)
        _push_manifest(client, image, tag)


def push_referrer(referrer: Image, host: str, repository: str) -> None:
    """Attaches an artifact to its subject as a client does whose registry has no referrers API: by the fallback tag.

    Distribution specification 1.1, "Pushing Manifests with Subject" and "Referrers tag schema".
    """
    document = json.loads(referrer.body)
    push(referrer, host, repository, referrer.digest)
    tag = document["subject"]["digest"].replace(":", "-")
    with httpx.Client(base_url=f"http://{host}/v2/{repository}/", trust_env=False, timeout=60) as client:
        there = client.get(f"manifests/{tag}", headers={"Accept": OCI_INDEX})
        entries = there.json()["manifests"] if there.status_code == httpx.codes.OK else []
        entry = {
            **referrer.descriptor(),
            "artifactType": document["artifactType"],
            "annotations": document.get("annotations", {}),
        }
        listed = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*entries, entry]}
        _push_manifest(client, Image(OCI_INDEX, _json(listed)), tag)


_REF_NAME = "org.opencontainers.image.ref.name"


def _tagged(tag: str, tagged: Image) -> dict[str, Any]:
    annotations = {**tagged.entry.get("annotations", {}), _REF_NAME: tag}
    return {**tagged.descriptor(), "annotations": annotations}


def _write_blob(folder: Path, digest: str, body: bytes) -> None:
    algorithm, _, name = digest.partition(":")
    (folder / "blobs" / algorithm).mkdir(parents=True, exist_ok=True)
    (folder / "blobs" / algorithm / name).write_bytes(body)


def _push_blob(client: httpx.Client, digest: str, body: bytes) -> None:
    if client.head(f"blobs/{digest}").status_code == httpx.codes.OK:
        return
    begun = client.post("blobs/uploads/").raise_for_status()
    location = httpx.URL(client.base_url).join(begun.headers["Location"]).copy_merge_params({"digest": digest})
    client.put(location, content=body, headers={"Content-Type": "application/octet-stream"}).raise_for_status()


def _push_manifest(client: httpx.Client, manifest: Image, reference: str) -> None:
    headers = {"Content-Type": manifest.media_type}
    client.put(f"manifests/{reference}", content=manifest.body, headers=headers).raise_for_status()


def _tar(files: Mapping[str, str | bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in sorted(files.items()):
            body = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(path)
            member.size = len(body)
            member.mode = 0o755
            archive.addfile(member, io.BytesIO(body))
    return stream.getvalue()


def _diff_id(content: bytes | ForeignLayer) -> str:
    """The digest of a layer's uncompressed bytes; a blob that is not gzip stands for itself."""
    body = content.body if isinstance(content, ForeignLayer) else content
    return digest_of(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)


def _platform(text: str) -> dict[str, str]:
    return dict(zip(("os", "architecture", "variant"), text.split("/"), strict=False))


def _layer_descriptor(content: bytes | ForeignLayer, algorithm: str, *, docker: bool) -> dict[str, Any]:
    if isinstance(content, ForeignLayer):
        media_type = DOCKER_FOREIGN if docker else OCI_FOREIGN
        return {**_descriptor(media_type, content.body, algorithm), "urls": list(content.urls)}
    return _descriptor(DOCKER_LAYER if docker else OCI_LAYER, content, algorithm)


def _descriptor(media_type: str, body: bytes, algorithm: str = "sha256") -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(body, algorithm), "size": len(body)}


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=2).encode()


BASE: dict[str, str | bytes] = {"etc/os-release": "NAME=test\n", "usr/lib/base": bytes(range(256)) * 400}


def app(version: str, *platforms: str, docker: bool = False) -> Image:
    """An application's image for some platforms: a shared base layer, and one layer for each version and platform."""
    return index(
        *(
            image(BASE, {"app/version": f"{version} {platform}"}, platform=platform, docker=docker)
            for platform in platforms or ("linux/amd64", "linux/arm64")
        ),
        docker=docker,
    )
