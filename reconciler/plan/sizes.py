"""The sizes that a plan may hold: what an apply of it moves and requests, as `cost` estimates it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.frozen import Frozen

if TYPE_CHECKING:
    from reconciler.stores.requests import Prices, RequestCounts


class Unread(Frozen):
    """An image whose sizes are unknown, since one of its manifests could not be read, and why."""

    target: str
    tag: str
    reason: str


class WorkerUse(Frozen):
    """One pull of each new image: how many they are, and the requests that the edge's Worker then answers."""

    images: int
    requests: int


class Sizes(Frozen):
    """What an apply moves and requests. Sizes are in bytes; `blobs`, `manifests` and `retired` are counts.

    downloaded  from sources
    blobs       the blobs in that
    manifests   the manifests in that
    uploaded    to the target: blobs and manifests, including the copies of manifests under tags
    copied      from one repository of the target to another
    before      what the target stores now; None: a registry does not tell
    after       what it stores after the apply; None as `before`
    retired     digests that are no longer used and still kept for their `retain` after the apply
    requests    None: the store does not count them
    unread      images that are not in these sizes
    prices      what the store charges, None if that is not known
    worker      what pulls of the new images ask of the edge's Worker; None without one
    """

    downloaded: int
    blobs: int
    manifests: int
    uploaded: int
    copied: int
    before: int | None
    after: int | None
    retired: int
    requests: RequestCounts | None
    unread: tuple[Unread, ...]
    prices: Prices | None = None
    worker: WorkerUse | None = None
