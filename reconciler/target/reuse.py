"""Decides how a blob gets into a repository: it is there, another repository of the bucket has it, or it is downloaded.

Pure: `apply` and the forecast of a plan decide alike.

Blobs are copied from repositories of the mirror index alone. r2mirror verified those as it downloaded them, and a copy
within the bucket is not verified again. Other repositories may belong to others, and a damaged blob must not spread.

Only a listing says which repositories hold a blob, at 1,000 keys a request. A request costs as much as the upload of a
part of 8 MiB, and takes about as long. So one is made for every `LISTING_WORTH` bytes that are missing, and first for
the repositories whose sources are closest. A run that lacks little lists only the repositories that it changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import TypeAlias

from reconciler.frozen import Frozen
from reconciler.oci.spec import Descriptor, Digest

LISTING_WORTH = 32 * 1024 * 1024
"""Bytes that have to be missing for each listing request: four parts, so that listings cost a quarter at the most."""

MAX_LISTINGS = 100
"""Requests of one run. What they show is kept until its end: 100,000 keys are about 40 MB."""

LISTING_KEYS = 1000
"""Keys that one request lists."""


class There(Frozen):
    """The repository holds it already."""


class CopyFrom(Frozen):
    """Another repository of the bucket holds it."""

    repository: str


class Download(Frozen):
    """No repository is known to hold it."""


Way: TypeAlias = There | CopyFrom | Download

Holders: TypeAlias = "Mapping[tuple[Digest, int], str]"
"""(digest, size in bytes) -> a repository of the mirror index that holds it, as listed or as written by this run."""


def way(blob: Descriptor, present: Mapping[Digest, int], holders: Holders) -> Way:
    """Decides how `blob` gets into a repository that holds `present`: digest -> size in bytes, as listed."""
    if present.get(blob.digest) == blob.size:
        return There()
    holder = holders.get((blob.digest, blob.size))
    return Download() if holder is None else CopyFrom(holder)


def is_worth_listing(missing: int, listed: int) -> bool:
    """Whether to list another repository, given the bytes that are missing and the requests made so far."""
    return listed < min(missing // LISTING_WORTH, MAX_LISTINGS)


def requests_for(keys: int) -> int:
    """Returns how many requests it takes to list so many keys."""
    return keys // LISTING_KEYS + 1


def nearest(source: str, others: Mapping[str, str]) -> str:
    """Returns the target among `others` (target -> source, not empty) whose source is most like `source`.

    Sources with a common path tend to share layers: `docker.io/library/python` is built on `docker.io/library/debian`
    rather than on anything of `quay.io`.
    """
    return max(sorted(others), key=lambda target: _shared(source.split("/"), others[target].split("/")))


def _shared(one: Iterable[str], other: Iterable[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
