"""Lists images for `docker load`: the manifest.json of what `docker save` writes, whose files may have any path.

    [{"Config": "blobs/sha256/HEX", "RepoTags": ["library/alpine:3.20"], "Layers": ["blobs/sha256/HEX"]}]

With its own image store, Docker reads nothing else. An image there has one platform: linux/amd64, or else the first one
for Linux. One that cannot be loaded fails the whole load, so what is not certain is left out: layers other than tar and
tar+gzip, artifacts, other systems, and names that are not valid at Docker.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any

from reconciler.errors import Malformed
from reconciler.oci.spec import (
    MAX_MANIFEST_VALUES,
    MAX_REPOSITORY_LENGTH,
    Descriptor,
    Digest,
    Index,
    Manifest,
    Platform,
    RepositoryName,
    is_tag,
    load_json,
    parse_manifest,
)
from reconciler.regex import expression

_CONFIGS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
_LAYERS = (
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)
_PREFERRED = Platform("linux", "amd64")
_ID = expression("[0-9a-f]{64}")
"""What Docker reads as the ID of an image, not as a name."""


Read = Callable[[Descriptor], "bytes | None"]


def docker_archive(
    names: Iterable[tuple[str, Descriptor]], there: Container[Digest], read: Read
) -> list[dict[str, Any]]:
    """Returns manifest.json.

    Args:
        names: REPOSITORY:TAG and what it points to, in the order of the list
        there: what the archive has; images that need more are left out
        read: reads a manifest or a configuration; None if it cannot be read
    """
    tags: dict[Digest, list[str]] = {}
    roots: dict[Digest, Descriptor] = {}
    for name, root in names:
        if _is_name(name):
            roots[root.digest] = root
            tags.setdefault(root.digest, []).append(name)
    found = ((one.digest, _chosen(one, there, read)) for one in roots.values())
    return [_row(image, tags[digest]) for digest, image in found if image and _is_loadable(image, there, read)]


def _row(image: Manifest, tags: list[str]) -> dict[str, Any]:
    config = image.config
    return {
        "Config": _path(config) if config else None,
        "RepoTags": tags,
        "Layers": [_path(one) for one in image.layers],
    }


def _path(one: Descriptor) -> str:
    return f"blobs/{one.digest.algorithm}/{one.digest.hex}"


def _is_name(name: str) -> bool:
    repository, _, tag = name.rpartition(":")
    try:
        found = RepositoryName.parse(repository)
    except Malformed:
        return False
    return is_tag(tag) and len(str(found)) <= MAX_REPOSITORY_LENGTH and not _ID.fullmatch(repository)


def _chosen(root: Descriptor, there: Container[Digest], read: Read) -> Manifest | None:
    """Returns the image of a tag that is loaded; None if there is none for Linux."""
    match _parsed(root, read):
        case Index() as index:
            # Other platforms than those of the mirror are not there.
            held = [one for one in index.manifests if one.digest in there]
            linux = [one for one in held if one.platform and one.platform.os == _PREFERRED.os]
            linux.sort(key=lambda one: not (one.platform and one.platform.satisfies(_PREFERRED)))
            found = _parsed(linux[0], read) if linux else None
            return found if isinstance(found, Manifest) else None
        case found:
            return found


def _parsed(one: Descriptor, read: Read) -> Manifest | Index | None:
    body = read(one)
    try:
        return parse_manifest(body, one.media_type, str(one.digest)) if body else None
    except Malformed:
        return None


def _is_loadable(image: Manifest, there: Container[Digest], read: Read) -> bool:
    if image.config is None or image.config.media_type not in _CONFIGS:
        return False
    if not all(one.digest in there for one in (image.config, *image.layers)):
        return False
    if not all(one.media_type in _LAYERS for one in image.layers):
        return False
    try:
        document = load_json(read(image.config) or b"", "configuration", MAX_MANIFEST_VALUES)
    except Malformed:
        return False
    match document:
        case {"os": _PREFERRED.os, "rootfs": {"type": "layers", "diff_ids": list(layers)}}:
            return len(layers) == len(image.layers)
        case _:
            return False
