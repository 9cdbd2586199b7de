"""What the bucket holds of a repository, from listings of 1,000 keys each: names and sizes, nothing that was opened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from reconciler.oci.spec import Digest
from reconciler.target.layout import BlobKey, ManifestKey, manifests_prefix, parse_key

if TYPE_CHECKING:
    from reconciler.stores import Listed, Store


INDEX_GONE = "the mirror index is gone: there is none, and {} is in the bucket; `r2mirror adopt` builds it anew"
"""The error for a bucket that has a repository but no index: without it, what is to be kept is not known."""


@dataclass(frozen=True)
class Inventory:
    """The blobs, the manifests by digest and the tags of a repository, each with its size in bytes."""

    blobs: dict[Digest, int] = field(default_factory=dict)
    manifests: dict[Digest, int] = field(default_factory=dict)
    tags: dict[str, int] = field(default_factory=dict)


FIRST_KEYS = 1000
LOOKED_AT = 5
"""Keys, from one page of a listing, and repositories that are looked at where those are of none that is asked for."""


def held_of(store: Store, targets: Sequence[str]) -> str | None:
    """One of the repositories `targets` of which something is there, as far as a few requests tell.

    Raises `StoreError`.
    """
    wanted = frozenset(targets)
    rows = list(islice(store.list("v2/"), FIRST_KEYS))
    found = inventories(rows).keys() & wanted
    if found or len(rows) < FIRST_KEYS:
        return min(found, default=None)
    return next((one for one in targets[:LOOKED_AT] if next(iter(store.list(manifests_prefix(one))), None)), None)


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
