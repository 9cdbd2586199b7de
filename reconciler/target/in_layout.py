"""A target that is an OCI image layout folder (image specification 1.1, image-layout.md), e.g. for skopeo and podman.

    oci-layout, index.json      the tags, each as `org.opencontainers.image.ref.name` REPOSITORY:TAG, and referrers
    blobs/sha256/HEX            manifests and blobs of all repositories, which share them
    _mirror/                    the state

Other programs may write to it as well: a tag whose digest the mirror index does not know stays as it is. Blobs that
nothing refers to any more are left, because they may be another program's that has not finished.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from reconciler.errors import Drift, Malformed, PreconditionFailed, StoreError
from reconciler.frozen import Frozen
from reconciler.oci.referrers import artifact_type
from reconciler.oci.spec import OCI_INDEX, Descriptor, Digest, is_tag, load_json
from reconciler.stores import Absent, Matches
from reconciler.stores.folder import FolderStore
from reconciler.target.asked import Asked
from reconciler.target.inventory import Inventory
from reconciler.target.layout import (
    BLOB_HEADERS,
    JSON_HEADERS,
    ManifestKey,
    blob_key,
    manifest_key,
    referrers_key,
    target_problem,
)
from reconciler.target.protocol import Found, Kept, Stays

if TYPE_CHECKING:
    from reconciler.stores import Store
    from reconciler.stores.image_layout import LayoutStore
    from reconciler.target.layout import Key
    from reconciler.target.protocol import Knows, Referrers

INDEX = "index.json"
MARKER = "oci-layout"
MARKER_BODY = b'{"imageLayoutVersion":"1.0.0"}'
_NAME = "org.opencontainers.image.ref.name"

WRITE_ATTEMPTS = 20
DRIFT = (
    "the layout has {} there, which r2mirror did not publish; it stays, unless apply or `verify --repair` has "
    "--overwrite-drift"
)


def open_in_layout(config: LayoutStore) -> InLayout:
    """Opens a layout, which need not exist yet."""
    store = FolderStore(config.path)
    return InLayout(f"oci:{config.path}", store, store)


def content_key(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _digest_of(entry: Mapping[str, Any]) -> str:
    return str(entry.get("digest"))


def name_of(entry: Mapping[str, Any]) -> str | None:
    annotations = entry.get("annotations")
    name = annotations.get(_NAME) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else None


def _tag_of(entry: Mapping[str, Any]) -> tuple[str, str] | None:
    """The repository and the tag of an entry; None if its name is not one of ours."""
    repository, _, tag = (name_of(entry) or "").rpartition(":")
    return (repository, tag) if is_tag(tag) and target_problem(repository) is None else None


class InLayout(Frozen):
    """A layout in the folder of `store`. `knows` tells r2mirror's own digests from those of other writers."""

    name: str
    store: Store
    state: Store
    knows: Knows = lambda *_: True
    _writing: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    def repository(self, name: str) -> RepositoryInLayout:
        return RepositoryInLayout(name, self)

    def delete(self, items: Iterable[Key]) -> tuple[Kept, ...]:
        # Manifests and blobs stay: another repository may share them.
        wanted = {(one.repository, one.reference): one for one in items if isinstance(one, ManifestKey)}
        kept: list[Kept] = []

        def change(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
            kept.clear()
            return [entry for entry in entries if self._stays(entry, wanted, kept)]

        if any(isinstance(reference, str) for _, reference in wanted):
            self.change(change)
        return tuple(kept)

    def _stays(
        self, entry: Mapping[str, Any], wanted: Mapping[tuple[str, Digest | str], ManifestKey], kept: list[Kept]
    ) -> bool:
        found = _tag_of(entry)
        item = wanted.get(found) if found else None
        if not item or not found:
            return True
        if self.is_own(*found, entry):
            return False
        kept.append(Kept(item, DRIFT.format(_digest_of(entry)), Stays.FOREIGN))
        return True

    def is_own(self, repository: str, tag: str, entry: Mapping[str, Any]) -> bool:
        try:
            return self.knows(repository, tag, Digest.parse(_digest_of(entry)))
        except Malformed:
            return False

    def tags(self, repositories: Iterable[str]) -> Iterator[tuple[str, str]]:
        del repositories  # index.json has all.
        yield from dict.fromkeys(filter(None, map(_tag_of, self.entries())))

    def inventories(self, repositories: Iterable[str]) -> tuple[int, Mapping[str, Inventory]]:
        names = dict.fromkeys(repository for repository, _ in self.tags(repositories))
        size = sum(row.size for row in self.store.list("blobs/"))
        return size, {name: self.repository(name).inventory() for name in names}

    def holds_any(self, repositories: Iterable[str]) -> str | None:
        wanted = frozenset(repositories)
        return next((name for name, _ in self.tags(()) if name in wanted), None)

    def drifted(self, repository: str, tag: str) -> Digest | None:
        found = self.repository(repository).resolved(tag)
        return found if found and not self.knows(repository, tag, found) else None

    def guarded(self, check: Callable[[], None]) -> InLayout:
        return replace(self, store=self.store.guarded(check))

    def owning(self, knows: Knows) -> InLayout:
        return replace(self, knows=knows)

    def close(self) -> None:
        """Nothing to close: files are open only while they are read or written."""

    # index.json

    def entries(self) -> list[dict[str, Any]]:
        """Reads the entries of index.json. Raises `StoreError` if it is not what it should be."""
        return self._read()[1]

    def change(self, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
        """Changes the entries of index.json as a whole, whatever others write to it meanwhile."""
        with self._writing:
            for attempt in range(1, WRITE_ATTEMPTS + 1):
                document, before, etag = self._read()
                after = change(before)
                if after == before and etag:
                    return
                try:
                    self._write({**document, "manifests": after}, etag)
                except PreconditionFailed:
                    if attempt == WRITE_ATTEMPTS:
                        raise
                else:
                    return

    def _read(self) -> tuple[dict[str, Any], list[dict[str, Any]], str | None]:
        stored = self.store.get(INDEX)
        if stored is None:
            return {"schemaVersion": 2, "mediaType": OCI_INDEX}, [], None
        try:
            document = load_json(stored.body, INDEX)
        except Malformed as error:
            raise StoreError(f"{self.name}/{INDEX}", f"{error.why}; move it away, or repair it") from None
        match document:
            case {"manifests": None}:  # an empty list of a tool written in Go
                return document, [], stored.etag
            case {"manifests": list(entries)} if all(isinstance(entry, dict) for entry in entries):
                return document, entries, stored.etag
            case _:
                why = "expected an object with manifests; move it away, or repair it"
                raise StoreError(f"{self.name}/{INDEX}", why)

    def _write(self, document: Mapping[str, Any], etag: str | None) -> None:
        if self.store.size(MARKER) is None:
            self.store.put(MARKER, MARKER_BODY, JSON_HEADERS)
        body = json.dumps(document, separators=(",", ":")).encode()
        self.store.put(INDEX, body, JSON_HEADERS, Matches(etag) if etag else Absent())


class RepositoryInLayout(Frozen):
    """The repository `name` of a layout."""

    name: str
    target: InLayout

    @property
    def verifies(self) -> bool:
        """What is written is hashed by whoever reads it."""
        return False

    def manifest_key(self, reference: Digest | str) -> str:
        return manifest_key(self.name, reference)

    def blob_key(self, digest: Digest) -> str:
        return blob_key(self.name, digest)

    # Manifests and tags

    def manifest(self, reference: Digest | str) -> Found | None:
        body = self.manifest_body(reference)
        return None if body is None else Found(body, None)

    def manifest_body(self, reference: Digest | str) -> bytes | None:
        digest = self.resolved(reference) if isinstance(reference, str) else reference
        stored = self.target.store.get(content_key(digest)) if digest else None
        return stored.body if stored else None

    def resolved(self, tag: str) -> Digest | None:
        """Returns the digest of a tag; None if there is no such tag."""
        found = next((entry for entry in self.target.entries() if _tag_of(entry) == (self.name, tag)), None)
        try:
            return Digest.parse(_digest_of(found)) if found else None
        except Malformed as error:
            raise StoreError(f"{self.target.name}/{INDEX}", f"the entry of {self.name}:{tag}: {error.why}") from None

    def has_manifest(self, digest: Digest) -> bool:
        return self._size(digest) is not None

    def put_manifest(self, digest: Digest, body: bytes, media_type: str) -> None:
        del media_type  # index.json has that of a tag, and an index those of its manifests.
        self.target.store.put(content_key(digest), body, BLOB_HEADERS)

    def put_tag(self, tag: str, body: bytes, media_type: str, *, is_new: bool = False) -> None:
        del is_new  # index.json is read in any case.
        digest, place = self._digest(body), (self.name, tag)
        name = f"{self.name}:{tag}"
        wanted = {
            "mediaType": media_type,
            "digest": str(digest),
            "size": len(body),
            "annotations": {_NAME: name},
        }

        def change(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
            others = [entry for entry in entries if _tag_of(entry) != place]
            same = [entry for entry in entries if _tag_of(entry) == place]
            if [_digest_of(entry) for entry in same] == [str(digest)]:
                return entries
            for entry in same:
                if _digest_of(entry) != str(digest) and not self.target.is_own(self.name, tag, entry):
                    raise Drift(f"{self.target.name}:{name}", DRIFT.format(_digest_of(entry)))
            return [*others, wanted]

        self.target.change(change)

    def _digest(self, body: bytes) -> Digest:
        """Returns the digest that a manifest was written under: sha256, or else sha512."""
        usual, other = Digest.of(body), Digest.of(body, "sha512")
        return other if not self.has_manifest(usual) and self.has_manifest(other) else usual

    # Blobs

    def blob(self, digest: Digest) -> Iterator[bytes] | None:
        return self.target.store.read(content_key(digest))

    def put_blob(self, blob: Descriptor, open_bytes: Callable[[], Iterator[bytes]], likely: str | None = None) -> None:
        del likely  # All repositories share their blobs.
        self.target.store.upload(content_key(blob.digest), open_bytes(), blob.size, blob.digest, BLOB_HEADERS)

    def mount_blob(self, blob: Descriptor, origin: str) -> bool:
        del origin  # All repositories share their blobs.
        return self._size(blob.digest) == blob.size

    # Referrers: an entry of index.json without a name, whose manifest tells its subject

    def publish_referrers(self, wanted: Referrers) -> None:
        rows = [
            {
                "mediaType": parsed.media_type,
                "digest": str(digest),
                "size": size,
                **({"artifactType": kind} if (kind := artifact_type(parsed)) else {}),
            }
            for digest, size, parsed in wanted.entries
        ]

        def change(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
            listed = set(map(_digest_of, entries))
            return [*entries, *(row for row in rows if row["digest"] not in listed)]

        if rows:
            self.target.change(change)

    def wrong_referrers(self, wanted: Referrers) -> Iterator[tuple[str, str]]:
        listed = set(map(_digest_of, self.target.entries())) if wanted.entries else set()
        for digest, _, _ in wanted.entries:
            if str(digest) not in listed:
                yield referrers_key(self.name, wanted.subject), f"index.json does not list {digest}"

    # What is there

    def inventory(self) -> Inventory:
        tags = {tag: 0 for name, tag in self.target.tags(()) if name == self.name}
        return Inventory(Asked(self._size), Asked(self._size), tags)

    def retained_without(self, digests: Collection[Digest]) -> tuple[str, ...]:
        """None: in a folder a digest stays without a tag."""
        del digests
        return ()

    def contents(self) -> Inventory:
        return self.inventory()

    def blobs(self) -> Mapping[Digest, int]:
        return {}

    def _size(self, digest: Digest) -> int | None:
        return self.target.store.size(content_key(digest))
