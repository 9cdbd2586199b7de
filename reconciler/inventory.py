"""What the bucket holds of a repository, from listings of 1,000 keys each: names and sizes, nothing that was opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.layout import BlobKey, ManifestKey, blobs_prefix, manifests_prefix, parse_key
from reconciler.oci import Digest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.store import Listed, Store


@dataclass(frozen=True)
class Inventory:
    """The blobs, the manifests by digest and the tags of a repository, each with its size in bytes."""

    blobs: dict[Digest, int] = field(default_factory=dict)
    manifests: dict[Digest, int] = field(default_factory=dict)
    tags: dict[str, int] = field(default_factory=dict)


def inventory(store: Store, target: str) -> Inventory:
    """What is there of one repository. Raises `StoreError`."""
    rows = (row for prefix in (blobs_prefix(target), manifests_prefix(target)) for row in store.list(prefix))
    return inventories(rows).get(target, Inventory())


def blobs(store: Store, target: str) -> dict[Digest, int]:
    """The blobs alone, each with its size in bytes. Raises `StoreError`."""
    return inventories(store.list(blobs_prefix(target))).get(target, Inventory()).blobs


def inventories(rows: Iterable[Listed]) -> dict[str, Inventory]:
    """The rows of a listing by repository; keys that are not of the layout are passed over. Pure."""
    found: dict[str, Inventory] = {}
    for row in rows:
        match parse_key(row.key):
            case BlobKey(target, digest):
                found.setdefault(target, Inventory()).blobs[digest] = row.size
            case ManifestKey(target, Digest() as digest):
                found.setdefault(target, Inventory()).manifests[digest] = row.size
            case ManifestKey(target, str(tag)):
                found.setdefault(target, Inventory()).tags[tag] = row.size
            case _:
                pass
    return found
