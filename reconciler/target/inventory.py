"""What the bucket holds of a repository: names and sizes from listings of 1,000 keys each; no object is opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from itertools import islice
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.oci.spec import Digest
from reconciler.target.layout import BlobKey, ManifestKey, manifests_prefix, parse_key

if TYPE_CHECKING:
    from reconciler.stores import Listed, Store


INDEX_GONE = "there is no mirror index, although {} is in the store; `r2mirror adopt` builds it from what is there"
"""The error for a bucket that has a repository but no index: without it, nothing says which digests to keep."""


class Inventory(Frozen):
    """The blobs, the manifests by digest and the tags of a repository, each with its size in bytes."""

    blobs: Mapping[Digest, int] = field(default_factory=dict)
    manifests: Mapping[Digest, int] = field(default_factory=dict)
    tags: Mapping[str, int] = field(default_factory=dict)


FIRST_KEYS = 1000
LOOKED_AT = 5
"""Keys that are searched for any of the repositories, one page of a listing; and repositories that are then listed one
by one if the page is full of others. A plan of a new bucket must not list a large bucket that others use as well."""


def held_of(store: Store, targets: Sequence[str]) -> str | None:
    """Finds one of the repositories `targets` that is in the bucket, as far as a few requests tell.

    Raises `StoreError`.
    """
    wanted = frozenset(targets)
    rows = list(islice(store.list("v2/"), FIRST_KEYS))
    found = inventories(rows).keys() & wanted
    if found or len(rows) < FIRST_KEYS:
        return min(found, default=None)
    return next((one for one in targets[:LOOKED_AT] if next(iter(store.list(manifests_prefix(one))), None)), None)


def inventories(rows: Iterable[Listed]) -> dict[str, Inventory]:
    """Sorts the rows of a listing by repository, and leaves out keys that are not of the layout. Pure."""
    found: dict[str, tuple[dict[Digest, int], dict[Digest, int], dict[str, int]]] = {}
    for row in rows:
        match parse_key(row.key):
            case BlobKey(target, digest):
                found.setdefault(target, ({}, {}, {}))[0][digest] = row.size
            case ManifestKey(target, Digest() as digest):
                found.setdefault(target, ({}, {}, {}))[1][digest] = row.size
            case ManifestKey(target, str(tag)):
                found.setdefault(target, ({}, {}, {}))[2][tag] = row.size
            case _:
                pass
    return {target: Inventory(*kinds) for target, kinds in found.items()}
