"""What a registry says of the manifests that it still gives us, and how many of them an image takes. Pure.

Docker Hub counts a pull for each GET of a manifest, so one for each platform of an image index and one for the index,
and none for a HEAD; the answers to both say what is left (docs.docker.com, "Docker Hub pull usage and limits"):

    ratelimit-limit: 100;w=21600        in so many seconds
    ratelimit-remaining: 76;w=21600

It does not say when the window began. A registry that sends no such header does not count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.oci.spec import INDEX_TYPES, Descriptor, Platform

_COUNT = re.compile(r"([0-9]{1,9});\s*w=([0-9]{1,9})")


@dataclass(frozen=True)
class Quota:
    """Of `limit` manifests within `window` seconds, `remaining` are left for the account or address that we are."""

    registry: str
    limit: int
    remaining: int
    window: int

    def __str__(self) -> str:
        return f"{self.registry} has {self.remaining} of {self.limit} left, counted over {duration(self.window)}"


@dataclass(frozen=True)
class Spending:
    """What an apply takes of a quota. Not `exact`: some indexes have not been read, and `pulls` is an estimate.

    An index takes one pull for itself and one for each manifest that is wanted of it, attestations included.
    """

    quota: Quota
    pulls: int
    exact: bool

    @property
    def fits(self) -> bool:
        return self.pulls <= self.quota.remaining


def parse_quota(registry: str, headers: Mapping[str, str]) -> Quota | None:
    """What the headers of an answer say; None where they do not say it in Docker Hub's way, that is: no limit."""
    limit = _COUNT.fullmatch(headers.get("ratelimit-limit", "").strip())
    remaining = _COUNT.fullmatch(headers.get("ratelimit-remaining", "").strip())
    if not limit or not remaining:
        return None
    return Quota(registry, int(limit[1]), int(remaining[1]), int(limit[2]))


def spending_document(spending: Spending) -> dict[str, Any]:
    """As `schema/plan.schema.json` has it."""
    quota = spending.quota
    return {
        "registry": quota.registry,
        "limit": quota.limit,
        "remaining": quota.remaining,
        "window_seconds": quota.window,
        "pulls": spending.pulls,
        "exact": spending.exact,
    }


def estimate(root: Descriptor, platforms: tuple[Platform, ...] | None) -> int:
    """How many manifests the image at `root` has, as far as can be told before an index is read; exact for others."""
    if root.media_type not in INDEX_TYPES:
        return 1
    return 2 if platforms is None else 1 + len(platforms)


def duration(seconds: int) -> str:
    """As in `6 h`, `15 min` or `90 s`."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
