"""A repository of a store in the layout that r2mirror writes, as a source.

The keys are the paths of the distribution specification, section "Pull". What is visible there is whole, so nothing but
what clients pull is read: neither the mirror index nor the lock. Tags come from the published list.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import MappingProxyType
from typing import TYPE_CHECKING

from reconciler.errors import BadAnswer, Denied, Malformed, NotFound, StoreDenied, StoreError, Unreachable
from reconciler.frozen import Frozen
from reconciler.oci.referrers import ListedAttachments, cosign_tags, fallback_tag
from reconciler.oci.spec import (
    MAX_MANIFEST_SIZE,
    MAX_MANIFEST_VALUES,
    OCI_INDEX,
    Descriptor,
    Digest,
    Index,
    is_tag,
    load_json,
    parse_manifest,
)
from reconciler.sources.descriptors import descriptor_of

if TYPE_CHECKING:
    from reconciler.stores import Store

MAX_LIST_SIZE = 256 * 1024 * 1024
"""Bytes of a list of tags, which is one object: a million tags of the greatest length."""

READ_ATTEMPTS = 3
"""How often in a row a blob is read on from where it broke off without a byte in between."""


class ServedRepository(Frozen):
    """The `Source` below `v2/<path>/` of a store. `name` is its spelling in mirrors.yaml."""

    name: str
    store: Store
    path: str

    def tags(self) -> tuple[str, ...]:
        body = self._read("tags/list", self.name, MAX_LIST_SIZE)
        if body is None:
            raise NotFound(self.name, f"{self.store.name} has no repository {self.path}: it has no list of its tags")
        try:
            match load_json(body, "the list of its tags"):
                case {"tags": list(tags)}:
                    return tuple(dict.fromkeys(tag for tag in tags if isinstance(tag, str) and is_tag(tag)))
                case _:
                    raise Malformed("the list of its tags", "expected an object with tags")
        except Malformed as error:
            raise BadAnswer(self.name, str(error)) from None

    def resolve(self, reference: str) -> Descriptor:
        if ":" in reference:
            return self.described(Digest.parse(reference))
        what = f"{self.name}:{reference}"
        body = self._read(f"manifests/{reference}", what, MAX_MANIFEST_SIZE)
        if body is None:
            raise NotFound(what, f"{self.store.name} has no such tag there")
        return descriptor_of(body, "", "sha256", what)

    def described(self, digest: Digest) -> Descriptor:
        return descriptor_of(self._manifest(digest), "", digest.algorithm, self._what(digest))

    def manifest(self, descriptor: Descriptor) -> bytes:
        return self._manifest(descriptor.digest)

    def blob(self, descriptor: Descriptor) -> Iterator[bytes]:
        key, what = f"v2/{self.path}/blobs/{descriptor.digest}", self._what(descriptor.digest)
        passed = fruitless = 0
        while True:
            before = passed
            try:
                chunks = self.store.read(key, passed)
                if chunks is None:
                    raise NotFound(what, f"{self.store.name} has no such blob there")
                with contextlib.closing(chunks):
                    for chunk in chunks:
                        passed += len(chunk)
                        if passed > descriptor.size:
                            raise BadAnswer(
                                what,
                                f"{self.store.name} has more than the {descriptor.size} bytes that its manifest says",
                            )
                        yield chunk
            except StoreError as error:
                fruitless = 0 if passed > before else fruitless + 1
                if isinstance(error, StoreDenied) or fruitless == READ_ATTEMPTS or not passed < descriptor.size:
                    raise _as_source_error(what, error) from None
            else:
                return

    def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        what = self._what(subject)
        body = self._read(f"referrers/{subject}", what, MAX_MANIFEST_SIZE)
        if body is None:
            return None
        try:
            load_json(body, "the list of its referrers", MAX_MANIFEST_VALUES)
            parsed = parse_manifest(body, OCI_INDEX, "the list of its referrers")
        except Malformed as error:
            raise BadAnswer(what, str(error)) from None
        assert isinstance(parsed, Index), "for it was read as one"
        return tuple({one.digest: one for one in parsed.entries}.values())

    def attachments(self, subject: Digest, listed: frozenset[str] | None) -> ListedAttachments:
        referrers = self.referrers(subject)
        tags = {tag: found for tag in cosign_tags(subject) if (found := self._tagged(tag, listed))}
        fallback = self._tagged(fallback_tag(subject), listed) if referrers is None else None
        return ListedAttachments(referrers, fallback, MappingProxyType(tags))

    def _tagged(self, tag: str, listed: frozenset[str] | None) -> Descriptor | None:
        if listed is not None and tag not in listed:
            return None
        try:
            return self.resolve(tag)
        except NotFound:
            return None

    def _manifest(self, digest: Digest) -> bytes:
        what = self._what(digest)
        body = self._read(f"manifests/{digest}", what, MAX_MANIFEST_SIZE)
        if body is None:
            raise NotFound(what, f"{self.store.name} has no such manifest there")
        if not digest.matches(body):
            found = Digest.of(body, digest.algorithm)
            raise BadAnswer(what, f"{self.store.name} has {len(body)} bytes of {found} under this digest")
        return body

    def _read(self, name: str, what: str, limit: int) -> bytes | None:
        """Reads a small object whole; None if there is none."""
        body = bytearray()
        try:
            chunks = self.store.read(f"v2/{self.path}/{name}")
            if chunks is None:
                return None
            with contextlib.closing(chunks):
                for chunk in chunks:
                    body += chunk
                    if len(body) > limit:
                        raise BadAnswer(what, f"{self.store.name}/v2/{self.path}/{name} is larger than {limit} bytes")
        except StoreError as error:
            raise _as_source_error(what, error) from None
        return bytes(body)

    def _what(self, digest: Digest) -> str:
        return f"{self.name}@{digest}"


def _as_source_error(what: str, error: StoreError) -> Denied | Unreachable:
    return (Denied if isinstance(error, StoreDenied) else Unreachable)(what, str(error))
