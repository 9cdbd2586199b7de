"""An OCI image layout folder as a source (image specification 1.1, image-layout.md).

Its tags are the `org.opencontainers.image.ref.name` annotations in index.json, else containerd's own annotation. Of a
whole reference, which containerd and skopeo write there, the tag is used; a source may be limited to the names of one
repository. A tag for two images is an error, because either could be meant.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from reconciler.errors import BadAnswer, Malformed, NotFound, Unreachable
from reconciler.files import open_regular
from reconciler.frozen import Frozen
from reconciler.oci.image import walk
from reconciler.oci.referrers import ListedAttachments, artifact_type, cosign_tags
from reconciler.oci.spec import (
    MAX_MANIFEST_SIZE,
    Descriptor,
    Digest,
    Index,
    Manifest,
    is_tag,
    load_json,
    parse_descriptor,
    parse_manifest,
)
from reconciler.sources.descriptors import descriptor_of

CHUNK = 1024 * 1024
"""Bytes."""

MAX_INDEX_SIZE = 64 * 1024 * 1024
"""Bytes of index.json, which lists every tag of the layout."""

_NAMES = ("org.opencontainers.image.ref.name", "io.containerd.image.name")


class ImageLayout(Frozen):
    """The `Source` in one folder.

    name        its spelling in mirrors.yaml
    repository  the one whose names count, with or without its registry; None: all names do

    Its index.json is read once, so that a run sees one state of it.
    """

    name: str
    folder: Path
    repository: str | None = None

    def tags(self) -> tuple[str, ...]:
        return tuple(self._tagged)

    def resolve(self, reference: str) -> Descriptor:
        if ":" in reference:
            return self._resolve_digest(Digest.parse(reference))
        if reference not in self._tagged:
            raise NotFound(f"{self.name}:{reference}", "index.json names no such tag")
        found = self._tagged[reference]
        return found if found.media_type else self._resolve_digest(found.digest)

    def referrers(self, subject: Digest) -> tuple[Descriptor, ...]:
        return tuple(self._referrers.get(subject, {}).values())

    def manifest(self, descriptor: Descriptor) -> bytes:
        what = f"{self.name}@{descriptor.digest}"
        body = self._read(self._blob_path(descriptor.digest), what, MAX_MANIFEST_SIZE)
        if len(body) != descriptor.size or not descriptor.digest.matches(body):
            found = Digest.of(body, descriptor.digest.algorithm)
            raise BadAnswer(what, f"expected {descriptor.size} bytes of this digest, got {len(body)} bytes of {found}")
        return body

    def described(self, digest: Digest) -> Descriptor:
        return self.resolve(str(digest))

    def blob(self, descriptor: Descriptor) -> Iterator[bytes]:
        what = f"{self.name}@{descriptor.digest}"
        try:
            with open_regular(self._blob_path(descriptor.digest), follow=True) as file:
                # The writer verifies the digest; a truncated file is to fail before it uploads a byte.
                size = os.fstat(file.fileno()).st_size
                if size != descriptor.size:
                    why = f"the file has {size} bytes, its manifest says {descriptor.size}"
                    raise BadAnswer(what, why)
                while chunk := file.read(CHUNK):
                    yield chunk
        except FileNotFoundError:
            raise NotFound(what, "the layout has no such blob") from None
        except OSError as error:
            raise Unreachable(what, f"cannot be read: {error.strerror}") from None

    def attachments(self, subject: Digest, listed: frozenset[str] | None) -> ListedAttachments:  # noqa: ARG002 a layout knows its tags
        tags = {tag: self.resolve(tag) for tag in cosign_tags(subject) if tag in self._tagged}
        return ListedAttachments(self.referrers(subject), None, MappingProxyType(tags))

    @cached_property
    def _referrers(self) -> dict[Digest, dict[Digest, Descriptor]]:
        """Subject -> the manifests that name it, among all that are listed in index.json and the indexes below it."""
        found: dict[Digest, dict[Digest, Descriptor]] = {}

        def read(descriptor: Descriptor, _: int) -> tuple[Descriptor, Manifest | Index] | None:
            parsed = self._parsed(descriptor)
            return (descriptor, parsed) if parsed else None

        def below(one: tuple[Descriptor, Manifest | Index]) -> tuple[Descriptor, ...]:
            return one[1].manifests if isinstance(one[1], Index) else ()

        for descriptor, parsed in walk((one for one, _ in self._entries if one.is_manifest), read, below):
            if parsed.as_referrer.subject:
                referrer = replace(descriptor, artifact_type=artifact_type(parsed))
                found.setdefault(parsed.as_referrer.subject, {})[descriptor.digest] = referrer
        return found

    def _parsed(self, descriptor: Descriptor) -> Manifest | Index | None:
        """Parses a manifest. None if it is not in the layout, e.g. for a platform that a sparse index leaves out."""
        try:
            return parse_manifest(self.manifest(descriptor), descriptor.media_type, str(descriptor.digest))
        except NotFound:
            return None
        except Malformed as error:
            raise BadAnswer(self.name, str(error)) from None

    def _blob_path(self, digest: Digest) -> Path:
        return self.folder / "blobs" / digest.algorithm / digest.hex

    @cached_property
    def _tagged(self) -> dict[str, Descriptor]:
        tagged: dict[str, Descriptor] = {}
        for descriptor, name in self._entries:
            tag = _tag_of(name) if self.repository is None or _is_of(name, self.repository) else None
            if tag and tagged.setdefault(tag, descriptor).digest != descriptor.digest:
                raise BadAnswer(self.name, f"index.json has the tag {tag} twice, for different images{self._advice}")
        if self.repository and not tagged:
            raise NotFound(self.name, f"{self.folder}/index.json names no image of {self.repository}")
        return tagged

    @property
    def _advice(self) -> str:
        return "" if self.repository else f"; if they are of several repositories, write {self.name}//REPOSITORY"

    @cached_property
    def _entries(self) -> tuple[tuple[Descriptor, str], ...]:
        """The entries of index.json, each with its name there, empty if it has none."""
        self._check_marker()
        body = self._read(self.folder / "index.json", self.name, MAX_INDEX_SIZE)
        try:
            match load_json(body, "it"):
                case {"manifests": None}:  # an empty list of a tool written in Go
                    return ()
                case {"manifests": list(entries)}:
                    return tuple((parse_descriptor(entry, "an entry"), _name_of(entry)) for entry in entries)
                case _:
                    raise Malformed("it", "expected an object with manifests")
        except Malformed as error:
            raise BadAnswer(self.name, f"{self.folder}/index.json: {error}") from None

    def _check_marker(self) -> None:
        # image-layout.md requires the marker; without it, a mistyped path would look like a layout without tags.
        try:
            found = (self.folder / "oci-layout").is_file()
        except OSError as error:
            raise Unreachable(self.name, f"{self.folder} cannot be read: {error.strerror}") from None
        if not found:
            raise NotFound(self.name, f"{self.folder} is not an OCI image layout: it has no file oci-layout")

    def _resolve_digest(self, digest: Digest) -> Descriptor:
        """Resolves a digest by index.json, else by its file: a registry serves the manifests within an index, too."""
        for descriptor, _ in self._entries:
            if descriptor.digest == digest and descriptor.media_type:
                return descriptor
        what = f"{self.name}@{digest}"
        found = descriptor_of(self._read(self._blob_path(digest), what, MAX_MANIFEST_SIZE), "", digest.algorithm, what)
        if found.digest != digest:
            raise BadAnswer(what, f"the file of this digest has the bytes of {found.digest}")
        return found

    def _read(self, path: Path, what: str, limit: int) -> bytes:
        try:
            with open_regular(path, follow=True) as file:
                body = file.read(limit + 1)
        except FileNotFoundError:
            raise NotFound(what, f"the layout has no file {path.relative_to(self.folder)}") from None
        except OSError as error:
            raise Unreachable(what, f"{path} cannot be read: {error.strerror}") from None
        if len(body) > limit:
            raise BadAnswer(what, f"{path} is larger than {limit} bytes")
        return body


def _name_of(entry: Mapping[str, Any]) -> str:
    annotations = entry.get("annotations")
    names = [annotations.get(key) for key in _NAMES] if isinstance(annotations, dict) else []
    return next((name for name in names if isinstance(name, str) and name), "")


def _is_of(name: str, repository: str) -> bool:
    """Whether a name is one of the repository, which may leave out the registry of the name."""
    place, colon, tag = name.partition("@")[0].rpartition(":")
    if not colon or "/" in tag:
        return False
    host, _, path = place.partition("/")
    return repository == place or (repository == path and (bool({".", ":"} & set(host)) or host == "localhost"))


def _tag_of(name: str) -> str | None:
    """The tag in a name, which may be a whole reference `host/path:tag@digest`."""
    reference, digest, _ = name.partition("@")
    tag = reference if not digest and is_tag(reference) else reference.rpartition("/")[2].partition(":")[2]
    return tag if is_tag(tag) else None
