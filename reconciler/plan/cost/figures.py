"""What an apply will move and request, in figures, for the plan that carries them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Unread:
    """An image of whose manifests not all could be read, and why not."""

    target: str
    tag: str
    reason: str


@dataclass(frozen=True)
class Sizes:
    """Bytes, but for `blobs`, `manifests` and `retired`, which count.

    downloaded  from sources: so many `blobs` and `manifests`
    uploaded    to the bucket: blobs and manifests, those under tags included
    copied      from one repository of the bucket to another
    before      under `v2/` now, and `after` the run
    retired     digests that stay for their `retain`, after the run
    requests    by S3's names, None for a folder
    priced      whether R2's prices are those of the store
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
