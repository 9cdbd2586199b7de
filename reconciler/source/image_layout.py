"""An OCI image layout folder as a source (image specification 1.1, image-layout.md).

Its tags are the `org.opencontainers.image.ref.name` annotations of index.json; a whole reference there, as containerd
and skopeo write it, counts by its tag.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.errors import BadAnswer, Malformed, NotFound, Unreachable
from reconciler.oci import MAX_MANIFEST_SIZE, Descriptor, Digest, is_tag, load_json, parse_descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK = 1024 * 1024
"""Bytes."""

MAX_INDEX_SIZE = 64 * 1024 * 1024
"""Bytes of index.json, which lists every tag of the layout."""

_REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True)
class ImageLayout:
    """The `Source` in one folder. `name` is how mirrors.yaml spells it."""

    name: str
    folder: Path

    def tags(self) -> tuple[str, ...]:
        return tuple(self._tagged())

    def resolve(self, reference: str) -> Descriptor:
        what = f"{self.name}:{reference}"
        tagged = self._tagged()
        if ":" not in reference:
            if reference not in tagged:
                raise NotFound(what, "index.json names no such tag")
            return tagged[reference]
        digest = Digest.parse(reference)
        for descriptor in self._entries(what):
            if descriptor.digest == digest:
                return descriptor
        raise NotFound(what, "index.json lists no such digest")

    def manifest(self, descriptor: Descriptor) -> bytes:
        what = f"{self.name}@{descriptor.digest}"
        body = self._read(self._blob_path(descriptor.digest), what, MAX_MANIFEST_SIZE)
        if len(body) != descriptor.size or not descriptor.digest.matches(body):
            found = Digest.of(body, descriptor.digest.algorithm)
            raise BadAnswer(what, f"expected {descriptor.size} bytes of this digest, got {len(body)} bytes of {found}")
        return body

    def blob(self, descriptor: Descriptor) -> Iterator[bytes]:
        what = f"{self.name}@{descriptor.digest}"
        try:
            with self._blob_path(descriptor.digest).open("rb") as file:
                while chunk := file.read(CHUNK):
                    yield chunk
        except FileNotFoundError:
            raise NotFound(what, "the layout has no such blob") from None
        except OSError as error:
            raise Unreachable(what, f"cannot be read: {error.strerror}") from None

    def _blob_path(self, digest: Digest) -> Path:
        return self.folder / "blobs" / digest.algorithm / digest.hex

    def _tagged(self) -> dict[str, Descriptor]:
        tagged: dict[str, Descriptor] = {}
        for descriptor, name in self._named_entries(self.name):
            tag = name if is_tag(name) else name.rpartition(":")[2]
            if not is_tag(tag):
                continue
            if tagged.setdefault(tag, descriptor).digest != descriptor.digest:
                raise BadAnswer(self.name, f"index.json has the tag {tag} twice, for different images")
        return tagged

    def _entries(self, what: str) -> Iterator[Descriptor]:
        return (descriptor for descriptor, _ in self._named_entries(what))

    def _named_entries(self, what: str) -> Iterator[tuple[Descriptor, str]]:
        if not (self.folder / "oci-layout").is_file():
            raise NotFound(what, f"{self.folder} is not an OCI image layout: it has no file oci-layout")
        body = self._read(self.folder / "index.json", what, MAX_INDEX_SIZE)
        try:
            match load_json(body, "it"):
                case {"manifests": list(entries)}:
                    for entry in entries:
                        descriptor = parse_descriptor(entry, "an entry")
                        name = (entry.get("annotations") or {}).get(_REF_NAME)
                        yield descriptor, name if isinstance(name, str) else ""
                case _:
                    raise Malformed("it", "expected an object with manifests")
        except Malformed as error:
            raise BadAnswer(what, f"{self.folder}/index.json: {error}") from None

    def _read(self, path: Path, what: str, limit: int) -> bytes:
        try:
            with path.open("rb") as file:
                body = file.read(limit + 1)
        except FileNotFoundError:
            raise NotFound(what, f"the layout has no file {path.relative_to(self.folder)}") from None
        except OSError as error:
            raise Unreachable(what, f"{path} cannot be read: {error.strerror}") from None
        if len(body) > limit:
            raise BadAnswer(what, f"{path} is larger than {limit} bytes")
        return body
