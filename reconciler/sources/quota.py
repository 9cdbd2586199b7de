"""Parses a registry's pull quota, and estimates how much of it an image takes. Pure.

Docker Hub counts each GET of a manifest as a pull: one for an image index, and one for each of its platforms. A HEAD is
free. The answers to both say what is left (docs.docker.com, "Docker Hub pull usage and limits"):

    ratelimit-limit: 100;w=21600        pulls within a window in seconds
    ratelimit-remaining: 76;w=21600

They do not say when the window began. A registry that sends no such headers has no quota.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.frozen import Frozen
from reconciler.oci.spec import INDEX_TYPES, Descriptor, Platform
from reconciler.regex import expression

_COUNT = expression(r"([0-9]{1,9});\s*w=([0-9]{1,9})")


class Quota(Frozen):
    """A quota of `limit` manifests within `window` seconds; `remaining` are left for our account or address.

    reserved  how many of them are kept for other clients (`quota_reserve`)
    """

    registry: str
    limit: int
    remaining: int
    window: int
    reserved: int = 0

    def __str__(self) -> str:
        kept = f", {self.reserved} of them reserved for others" if self.reserved else ""
        return f"{self.registry} has {self.remaining} of {self.limit} left{kept}, counted over {duration(self.window)}"

    @property
    def usable(self) -> int:
        """What is left for us."""
        return max(self.remaining - self.reserved, 0)

    @property
    def most(self) -> int:
        """What could ever be left for us at once."""
        return max(self.limit - self.reserved, 0)


class Spending(Frozen):
    """The pulls that an apply takes from a quota. `pulls` is an estimate unless `exact`: some indexes were not read.

    An index takes one pull, and one more for each of its manifests that is mirrored, attestations included.
    """

    quota: Quota
    pulls: int
    exact: bool

    @property
    def fits(self) -> bool:
        return self.pulls <= self.quota.usable


def parse_quota(registry: str, headers: Mapping[str, str], reserved: int = 0) -> Quota | None:
    """Parses the headers of an answer; None if it does not have Docker Hub's headers, i.e. if there is no limit."""
    limit = _COUNT.fullmatch(headers.get("ratelimit-limit", "").strip())
    remaining = _COUNT.fullmatch(headers.get("ratelimit-remaining", "").strip())
    if not limit or not remaining:
        return None
    return Quota(registry, int(limit[1]), int(remaining[1]), int(limit[2]), reserved)


def spending_document(spending: Spending) -> dict[str, Any]:
    """Spells a spending as `schema/plan.schema.json` requires."""
    quota = spending.quota
    return {
        "registry": quota.registry,
        "limit": quota.limit,
        "remaining": quota.remaining,
        "window_seconds": quota.window,
        **({"reserved": quota.reserved} if quota.reserved else {}),
        "pulls": spending.pulls,
        "exact": spending.exact,
    }


def estimate(root: Descriptor, platforms: tuple[Platform, ...] | None) -> int:
    """Estimates how many manifests an image has before its index is read. Exact if `root` is not an index."""
    if root.media_type not in INDEX_TYPES:
        return 1
    # Without a choice of platforms, at least the index and one image.
    return 2 if platforms is None else 1 + len(platforms)


def duration(seconds: int) -> str:
    """Spells a duration, e.g. `6 h`, `15 min` or `90 s`."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
