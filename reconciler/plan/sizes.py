"""The sizes that a plan may hold: what an apply of it moves and requests, as `cost` estimates it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Unread:
    """An image whose sizes are unknown, since one of its manifests could not be read, and why."""

    target: str
    tag: str
    reason: str


@dataclass(frozen=True)
class Sizes:
    """What an apply moves and requests. Sizes are in bytes; `blobs`, `manifests` and `retired` are counts.

    downloaded  from sources
    blobs       the blobs in that
    manifests   the manifests in that
    uploaded    to the bucket: blobs and manifests, including the copies of manifests under tags
    copied      from one repository of the bucket to another
    before      stored under `v2/` now
    after       stored under `v2/` after the apply
    retired     digests that are no longer used and still kept for their `retain` after the apply
    requests    their number by name; None: the store does not count requests
    unread      images that are not in these sizes
    priced      whether the store charges R2's prices
    """

    downloaded: int
    blobs: int
    manifests: int
    uploaded: int
    copied: int
    before: int
    after: int
    retired: int
    requests: Mapping[str, int] | None
    unread: tuple[Unread, ...]
    priced: bool = True
