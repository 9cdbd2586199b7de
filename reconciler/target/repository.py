"""One repository of a target that is made of objects in a store: manifests, tags, blobs, referrers.

The only module that turns the words of a registry into objects of a bucket.

    repository = Repository(store, "library/alpine")
    repository.put_blob(blob, lambda: source.blob(blob))
    repository.put_manifest(digest, body, media_type)
    repository.put_tag("3.20", body, media_type)
    repository.inventory().tags
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.oci.spec import Descriptor, Digest
from reconciler.stores import Absent, unfinished
from reconciler.stores.headers import headers_differ
from reconciler.target.conditional_writes import put_changed
from reconciler.target.inventory import Inventory, inventories
from reconciler.target.layout import (
    BLOB_HEADERS,
    ReferrersKey,
    blob_key,
    blobs_prefix,
    manifest_headers,
    manifest_key,
    manifests_prefix,
    parse_key,
    referrers_key,
    referrers_prefix,
)
from reconciler.target.protocol import Found
from reconciler.target.referrer_list import published_list

if TYPE_CHECKING:
    from reconciler.stores import Store, Stored, Unfinished
    from reconciler.target.protocol import Referrers


class Repository(Frozen):
    """The repository `name` in `store`. Every method but the two that name keys can raise `StoreError`."""

    store: Store
    name: str

    def manifest_key(self, reference: Digest | str) -> str:
        """Returns what findings call a manifest or a tag."""
        return manifest_key(self.name, reference)

    def blob_key(self, digest: Digest) -> str:
        """Returns what findings call a blob."""
        return blob_key(self.name, digest)

    @property
    def verifies(self) -> bool:
        """What is written is hashed by whoever reads it."""
        return False

    def manifest(self, reference: Digest | str) -> Found | None:
        """Gets a manifest by digest or tag, unverified; None if it is not there."""
        return _found(self.store.get(self.manifest_key(reference)))

    def manifest_body(self, reference: Digest | str) -> bytes | None:
        """Gets the bytes of a manifest by digest or tag, unverified; None if it is not there."""
        stored = self.manifest(reference)
        return stored.body if stored else None

    def has_manifest(self, digest: Digest) -> bool:
        """Checks for a manifest without a listing."""
        return self.store.size(self.manifest_key(digest)) is not None

    def put_manifest(self, digest: Digest, body: bytes, media_type: str) -> None:
        """Writes a manifest under its digest."""
        self.store.put(self.manifest_key(digest), body, manifest_headers(media_type, digest))

    def put_tag(self, tag: str, body: bytes, media_type: str, *, is_new: bool = False) -> None:
        """Points a tag at a manifest, whose bytes these are. Raises as `put_changed` does.

        is_new  a listing of this run does not have the tag: it is written if it is absent, without a look at it
        """
        key, headers = self.manifest_key(tag), manifest_headers(media_type, tag)
        if is_new:
            # Saves a GET for each new tag. The condition stands in for it, should the listing have lacked the tag.
            self.store.put(key, body, headers, Absent())
        else:
            put_changed(self.store, key, body, headers)

    def blob(self, digest: Digest) -> Iterator[bytes] | None:
        """Reads a blob in chunks, unverified; None if it is not there."""
        return self.store.read(self.blob_key(digest))

    def put_blob(self, blob: Descriptor, open_bytes: Callable[[], Iterator[bytes]], likely: str | None = None) -> None:
        """Writes a blob as it arrives. What its bytes raise is passed on, and nothing is visible then."""
        del likely  # Listings tell where blobs are.
        self.store.upload(self.blob_key(blob.digest), open_bytes(), blob.size, blob.digest, BLOB_HEADERS)

    def mount_blob(self, blob: Descriptor, origin: str) -> bool:
        """Copies a blob from the repository `origin` within the target; False if it is not there."""
        key, found = self.blob_key(blob.digest), blob_key(origin, blob.digest)
        return self.store.copy(found, key, blob.size, BLOB_HEADERS)

    def referrers(self, subject: Digest) -> Found | None:
        """Gets the list of a digest's referrers; None if there is no list."""
        return _found(self.store.get(referrers_key(self.name, subject)))

    def subjects(self) -> frozenset[Digest]:
        """Lists the digests that have a list of referrers."""
        keys = (parse_key(row.key) for row in self.store.list(referrers_prefix(self.name)))
        return frozenset(key.subject for key in keys if isinstance(key, ReferrersKey))

    def publish_referrers(self, wanted: Referrers) -> None:
        """Writes the objects of a list of referrers in their order. Raises as `put_changed` does."""
        for one in published_list(self.name, wanted):
            put_changed(self.store, one.key, one.body, one.headers)

    def wrong_referrers(self, wanted: Referrers) -> Iterator[tuple[str, str]]:
        """Compares the objects of a list of referrers; yields what is wrong, by key."""
        for one in published_list(self.name, wanted):
            stored = self.store.get(one.key)
            if stored is None:
                yield one.key, "is missing"
            elif stored.body != one.body:
                yield one.key, "lists other referrers than the mirror index"
            elif differ := headers_differ(stored.headers, one.headers):
                yield one.key, differ

    def retained_without(self, digests: Collection[Digest]) -> tuple[str, ...]:
        """None: in a store a digest stays without a tag."""
        del digests
        return ()

    def inventory(self) -> Inventory:
        """Lists what is there."""
        rows = (row for prefix in (blobs_prefix, manifests_prefix) for row in self.store.list(prefix(self.name)))
        return inventories(rows).get(self.name, Inventory())

    def contents(self) -> Inventory:
        """Lists what is there: a listing shows all of it."""
        return self.inventory()

    def blobs(self) -> Mapping[Digest, int]:
        """Lists the blobs alone, each with its size in bytes."""
        return inventories(self.store.list(blobs_prefix(self.name))).get(self.name, Inventory()).blobs

    def uploads(self) -> tuple[Unfinished, ...]:
        """Lists the uploads to it that were begun and not finished."""
        return tuple(unfinished(self.store, blobs_prefix(self.name)))


def _found(stored: Stored | None) -> Found | None:
    return Found(stored.body, stored.headers) if stored else None
