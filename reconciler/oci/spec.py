"""The terms of the OCI specifications as values: digest, descriptor, platform, repository name, manifest, index.

Pure: text and bytes in, frozen values or `Malformed` out. All data from a registry, a layout folder or a bucket is
parsed here before other code uses it.

Sources: OCI image specification 1.1 (descriptor.md, manifest.md, image-index.md), OCI distribution specification 1.1
(names, tags, digests), and Docker's image manifest version 2, schema 2.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NoReturn

from reconciler.errors import Malformed
from reconciler.frozen import Frozen, Ordered
from reconciler.oci.docker_hub import ALIASES, DOCKER_HUB
from reconciler.regex import expression

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
SCHEMA1 = (
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
)

MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEX_TYPES = (OCI_INDEX, DOCKER_LIST)
ACCEPT = ", ".join((OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST))

SCHEMA1_REFUSAL = (
    "Docker image manifest schema 1, which current clients no longer pull and whose digest cannot be checked; "
    "push the image again with a current docker or buildah, or exclude this tag"
)

MAX_MANIFEST_SIZE = 4 * 1024 * 1024
"""Bytes. Clients refuse larger manifests (containerd, containers/image), so a mirror has no use for them."""

MAX_MANIFEST_VALUES = 250_000
"""Values in the JSON of a manifest: 4 MiB of `{},` would take a hundred MiB as objects in memory."""

# The grammars of tag and repository are those of the distribution specification, "Pulling manifests"; the host is that
# of distribution/reference, and _MEDIA_TYPE is RFC 6838, section 4.2.
_TAG = expression(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = expression(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_REGISTRY = expression(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?")
_HEX_LENGTH = {"sha256": 64, "sha512": 128}
_HEX = expression(r"[0-9a-f]+")
_PLATFORM_PART = expression(r"[A-Za-z0-9_.+-]{1,64}")
_MEDIA_TYPE = expression(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")

MAX_REPOSITORY_LENGTH = 255
"""Characters. The specification has no limit; many clients accept no more, host and slash included."""


def is_tag(text: str) -> bool:
    """Whether `text` is a valid tag."""
    return _TAG.fullmatch(text) is not None


def is_repository(text: str) -> bool:
    """Whether `text` is a valid path of a repository."""
    return len(text) <= MAX_REPOSITORY_LENGTH and _REPOSITORY.fullmatch(text) is not None


@dataclass(frozen=True, order=True, slots=True)
class Digest:
    """The identifier of content: `sha256:<64 hex>` or `sha512:<128 hex>`, in lower case (descriptor.md, "Digests")."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Parses a digest. Raises `Malformed` for another algorithm or length, or upper case."""
        algorithm, _, value = text.partition(":")
        if len(value) != _HEX_LENGTH.get(algorithm) or not _HEX.fullmatch(value):
            raise Malformed(f"digest {_short(text)}", "expected sha256:<64 hex digits> or sha512:<128 hex digits>")
        return cls(algorithm, value)

    @classmethod
    def of(cls, body: bytes, algorithm: str = "sha256") -> Digest:
        return cls(algorithm, hashlib.new(algorithm, body).hexdigest())

    def matches(self, body: bytes) -> bool:
        return hashlib.new(self.algorithm, body).hexdigest() == self.hex

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


class Platform(Ordered):
    """`os/architecture[/variant]`, e.g. `linux/arm64/v8`."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Parses a platform. Raises `Malformed` unless it has two or three valid parts."""
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(_PLATFORM_PART.fullmatch(part) for part in parts):
            raise Malformed(f"platform {_short(text)}", "expected os/architecture or os/architecture/variant")
        return cls(*parts)

    def satisfies(self, wanted: Platform) -> bool:
        """Whether an image for this platform is wanted. A wanted platform without a variant accepts all of them."""
        return (
            self.os == wanted.os
            and self.architecture == wanted.architecture
            and wanted.variant in ("", self.variant or _DEFAULT_VARIANT.get(self.architecture, ""))
        )

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


_DEFAULT_VARIANT = {"arm64": "v8", "arm": "v7"}
"""What a missing variant stands for (containerd/platforms)."""


class RepositoryName(Frozen):
    """The name of a repository at a registry, normalised: `alpine` is `docker.io/library/alpine`."""

    registry: str
    path: str

    @classmethod
    def parse(cls, text: str) -> RepositoryName:
        """Parses a name. Raises `Malformed` if it is not valid, or has a tag or a digest.

        As in distribution/reference, the first part is a registry if it has a dot or a colon or is `localhost`.
        """
        first, slash, rest = text.partition("/")
        if slash and ("." in first or ":" in first or first == "localhost"):
            registry, path = first, rest
        else:
            registry, path = DOCKER_HUB, text
        if registry in ALIASES:
            registry = DOCKER_HUB
        if registry == DOCKER_HUB and "/" not in path:
            path = f"library/{path}"
        if "@" in path or ":" in path:
            raise Malformed(f"repository {_short(text)}", "a repository has no tag or digest; list those under tags")
        if not _REGISTRY.fullmatch(registry):
            raise Malformed(f"repository {_short(text)}", f"{_short(registry)} is not a registry's host[:port]")
        if not is_repository(path):
            raise Malformed(
                f"repository {_short(text)}",
                "expected [registry/]path of lower-case letters, digits and single . _ - between them",
            )
        return cls(registry.lower(), path)

    def __str__(self) -> str:
        return f"{self.registry}/{self.path}"


def registry_named(host: str) -> str:
    """Returns the registry at a host[:port] as names of images spell it; empty if none can be there."""
    try:
        registry = RepositoryName.parse(f"{host}/a/b").registry
    except Malformed:
        return ""
    # A name that is not a host is read as the first part of a path at Docker Hub.
    return "" if "/" in host or (registry == DOCKER_HUB and "docker.io" not in host) else registry


class Descriptor(Frozen):
    """A reference to content (descriptor.md).

    media_type     empty if it is missing
    size           in bytes
    platform       in an index only; None if it is missing or cannot be parsed
    attests        for an attestation of BuildKit's: the digest of its image
    artifact_type  in a list of referrers only; no part of the identity
    """

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    attests: Digest | None = None
    artifact_type: str = field(default="", compare=False)

    @property
    def foreign(self) -> bool:
        """Whether the content may not be distributed, by its media type (layer.md, "Non-Distributable Layers")."""
        return "nondistributable" in self.media_type or self.media_type.endswith(".foreign.diff.tar.gzip")

    @property
    def is_manifest(self) -> bool:
        """Whether this entry of an index is a manifest or an index; all others are blobs."""
        return self.media_type in ("", *MANIFEST_TYPES, *INDEX_TYPES, *SCHEMA1)


class ReferrerFields(Frozen):
    """What a manifest or an index says of itself as a referrer (distribution specification 1.1, "Listing Referrers").

    subject        what it refers to; None if it is not a referrer
    artifact_type  empty if it has none
    annotations    without those that are not text
    """

    subject: Digest | None = None
    artifact_type: str = ""
    annotations: tuple[tuple[str, str], ...] = ()


class Manifest(Frozen):
    """The manifest of an image or an artifact, with its blobs in order.

    `as_referrer` has its fields for a list of referrers.
    """

    media_type: str
    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    as_referrer: ReferrerFields = ReferrerFields()

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """The blobs that a pull needs: config and layers, without foreign layers, each digest once."""
        return _blobs((self.config, *self.layers) if self.config else self.layers)


class Index(Frozen):
    """An OCI image index or a Docker manifest list: its entries are manifests, indexes and blobs.

    E.g. a cache of BuildKit's is an index of layers. Such entries are copied as blobs, because an unknown media type
    must not be an error (image-index.md).
    """

    media_type: str
    entries: tuple[Descriptor, ...]
    as_referrer: ReferrerFields = ReferrerFields()

    @property
    def manifests(self) -> tuple[Descriptor, ...]:
        """The entries that are manifests or indexes."""
        return tuple(entry for entry in self.entries if entry.is_manifest)

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """The other entries, without foreign ones, each digest once."""
        return _blobs(entry for entry in self.entries if not entry.is_manifest)


def _blobs(wanted: Iterable[Descriptor]) -> tuple[Descriptor, ...]:
    return tuple({blob.digest: blob for blob in wanted if not blob.foreign}.values())


def parse_manifest(body: bytes, media_type: str, what: str) -> Manifest | Index:
    """Parses the manifest or index in `body`, announced as `media_type`; `what` names it in errors.

    Raises `Malformed` for broken JSON, nesting that is too deep, duplicate keys, Docker's schema 1, and a document
    whose own media type or fields contradict the announced type (CVE-2021-41190).
    """
    document = load_json(body, what, MAX_MANIFEST_VALUES)
    if not isinstance(document, dict):
        raise Malformed(what, f"expected a JSON object, got {_kind(document)}")
    if media_type in SCHEMA1 or document.get("schemaVersion") == 1:
        raise Malformed(what, SCHEMA1_REFUSAL)
    announced = own_media_type(document, media_type, what)
    if announced in INDEX_TYPES:
        return Index(announced, tuple(_descriptors(document, "manifests", what)), _referrer_fields(document))
    config = document.get("config")
    return Manifest(
        announced,
        None if config is None else parse_descriptor(config, f"{what}: config"),
        tuple(_descriptors(document, "layers", what)),
        _referrer_fields(document),
    )


def _referrer_fields(document: dict[str, Any]) -> ReferrerFields:
    subject, annotations = document.get("subject"), document.get("annotations")
    return ReferrerFields(
        _digest(subject.get("digest")) if isinstance(subject, dict) else None,
        _artifact_type(document),
        tuple((key, value) for key, value in annotations.items() if isinstance(value, str))
        if isinstance(annotations, dict)
        else (),
    )


def _artifact_type(fields: dict[str, Any]) -> str:
    """Empty for text that is not a media type."""
    artifact_type = fields.get("artifactType")
    return (_media_type(artifact_type) or "") if isinstance(artifact_type, str) else ""


def own_media_type(document: dict[str, Any], announced: str, what: str) -> str:
    """Returns the media type of a document: `announced` if that is one of the four, else the document's own.

    Raises `Malformed` if the two disagree, or if the fields are those of the other kind.
    """
    own = document.get("mediaType")
    if own is not None and not isinstance(own, str):
        raise Malformed(what, f"mediaType is {_kind(own)}, expected a string")
    own = own or None
    known = (*MANIFEST_TYPES, *INDEX_TYPES)
    if own is not None and announced in known and own != announced:
        raise Malformed(what, f"announced as {announced}, but its own mediaType says {_short(own)}")
    # Two clients that read one document differently would get different images under one digest (CVE-2021-41190).
    has_index, has_image = _has(document, "manifests"), _has(document, "layers") or _has(document, "config")
    if has_index and has_image:
        raise Malformed(what, "has the fields of an image and of an index, and could be read as either")
    media_type = announced if announced in known else own
    if media_type is None:
        media_type = OCI_MANIFEST if has_image or "manifests" not in document else OCI_INDEX
    if media_type not in known:
        raise Malformed(what, f"media type {_short(media_type)} is not a manifest or an index of OCI or Docker")
    if has_index != (media_type in INDEX_TYPES) and (has_index or has_image):
        raise Malformed(what, f"announced as {media_type}, but its fields are those of the other kind")
    return media_type


def _has(document: dict[str, Any], key: str) -> bool:
    """Whether a key has a value. Programs written in Go may write null for an empty one."""
    return document.get(key) is not None


def load_json(body: bytes, what: str, most: int | None = None) -> Any:
    """Parses JSON. Raises `Malformed` if it is broken, has duplicate keys, or is nested too deeply.

    most  the number of values at most: commas are counted, also those in strings, before values take memory
    """
    if most is not None and body.count(b",") > most:
        raise Malformed(what, f"JSON with more than {most} values")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # Parsers differ in which of two values they keep, so that clients would differ too.
        document = dict(pairs)
        if len(document) != len(pairs):
            raise Malformed(what, "a JSON object has the same key twice")
        return document

    # Python accepts NaN and Infinity, which JSON lacks.
    def no_constant(name: str) -> NoReturn:
        raise Malformed(what, f"{name} is not JSON")

    try:
        return json.loads(body, object_pairs_hook=unique, parse_constant=no_constant)
    except RecursionError:
        raise Malformed(what, "JSON nested too deeply") from None
    except ValueError as error:
        raise Malformed(what, f"not JSON: {error}") from None


def parse_media_type(text: str, what: str) -> str:
    """Parses the type/subtype of a Content-Type header or a descriptor, without parameters. Raises `Malformed`."""
    media_type = _media_type(text)
    if media_type is None:
        raise Malformed(what, f"{_short(text)} is not a media type")
    return media_type


@lru_cache(maxsize=256)
def _media_type(text: str) -> str | None:
    """Parses a media type. Cached: every descriptor has one, and few are different."""
    media_type = text.partition(";")[0].strip()
    return media_type if _MEDIA_TYPE.fullmatch(media_type) else None


def _descriptors(document: dict[str, Any], key: str, what: str) -> Iterator[Descriptor]:
    entries = document.get(key)
    if entries is None:
        return
    if not isinstance(entries, list):
        raise Malformed(what, f"{key} is {_kind(entries)}, expected a list")
    for position, entry in enumerate(entries):
        yield parse_descriptor(entry, f"{what}: {key}[{position}]")


def parse_descriptor(entry: Any, what: str) -> Descriptor:
    """Parses a descriptor of a manifest or an index; `what` names it in errors.

    Raises `Malformed` unless it has a digest and a size: a copy depends on nothing else.
    """
    match entry:
        case {"digest": str(digest), "size": int(size)} if not isinstance(size, bool):
            pass
        case _:
            raise Malformed(what, "expected a descriptor with a digest and a size")
    if not 0 <= size < 2**63:
        raise Malformed(what, f"size {size} is out of range")
    media_type, annotations = entry.get("mediaType"), entry.get("annotations")
    return Descriptor(
        (_media_type(media_type) or "") if isinstance(media_type, str) else "",
        Digest.parse(digest),
        size,
        _platform(entry.get("platform")),
        _digest(annotations.get("vnd.docker.reference.digest")) if isinstance(annotations, dict) else None,
        _artifact_type(entry),
    )


def _digest(text: Any) -> Digest | None:
    """Parses a digest on which nothing depends; None if it is not valid."""
    try:
        return Digest.parse(text) if isinstance(text, str) else None
    except Malformed:
        return None


def _platform(entry: Any) -> Platform | None:
    """Parses a platform; None if it is not valid. Such an image has no platform, and a filter lets it through."""
    # Some tools write the variant into the architecture: `arm/v7`.
    match entry:
        case {"os": str(system), "architecture": str(written)}:
            architecture, _, own = written.partition("/")
            variant = entry.get("variant") or own
        case _:
            return None
    parts = (system, architecture, variant) if variant else (system, architecture)
    if not all(isinstance(part, str) and _PLATFORM_PART.fullmatch(part) for part in parts):
        return None
    return Platform(*parts)


def _kind(value: object) -> str:
    return {dict: "an object", list: "a list", str: "a string", type(None): "null"}.get(type(value), "a number")


def _short(text: str, limit: int = 90) -> str:
    return repr(text if len(text) <= limit else f"{text[:limit]}...")
