"""What R2 charges for requests and bytes, by its list prices. Pure.

developers.cloudflare.com/r2/pricing, Standard storage, as of `PRICED`: use beyond a month's free tier is rounded up to
whole GB-months and millions of requests. Removing objects is free.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PRICED = "November 2026"

STORAGE_PRICE, CLASS_A_PRICE, CLASS_B_PRICE = 0.015, 4.50, 0.36
"""US dollars for a GB-month, a million requests of class A, and of class B."""

FREE_STORAGE, FREE_CLASS_A, FREE_CLASS_B = 10, 1, 10
"""What of each is free in a month, in the same units, for a whole account."""

GB, MILLION = 10**9, 10**6

CLASS_A = ("PutObject", "CopyObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "ListObjects")
CLASS_B = ("GetObject",)
FREE = ("DeleteObjects",)
"""The requests of ours in each class, by S3's names."""


@dataclass(frozen=True)
class Month:
    """US dollars."""

    storage: float
    class_a: float
    class_b: float

    @property
    def total(self) -> float:
        return round(self.storage + self.class_a + self.class_b, 6)


def class_a(requests: Mapping[str, int]) -> int:
    return sum(requests.get(kind, 0) for kind in CLASS_A)


def class_b(requests: Mapping[str, int]) -> int:
    return sum(requests.get(kind, 0) for kind in CLASS_B)


def month(stored: int, requests: Mapping[str, int]) -> Month:
    """The bill of a month in which so many bytes are stored from its first day on, and these requests are made."""
    return Month(
        _billed(stored, GB, FREE_STORAGE, STORAGE_PRICE),
        _billed(class_a(requests), MILLION, FREE_CLASS_A, CLASS_A_PRICE),
        _billed(class_b(requests), MILLION, FREE_CLASS_B, CLASS_B_PRICE),
    )


def share(stored: int, requests: Mapping[str, int]) -> Month:
    """What these have a part in of a bill that is beyond the free tier anyway: neither free nor rounded up."""
    return Month(
        round(stored / GB * STORAGE_PRICE, 6),
        round(class_a(requests) / MILLION * CLASS_A_PRICE, 6),
        round(class_b(requests) / MILLION * CLASS_B_PRICE, 6),
    )


def requests_document(requests: Mapping[str, int]) -> dict[str, Any]:
    """As `schema/plan.schema.json` has them."""
    return {"class_a": class_a(requests), "class_b": class_b(requests), "by_kind": dict(requests)}


def months_document(stored: int, requests: Mapping[str, int]) -> dict[str, Any]:
    """The bill and the share as `schema/plan.schema.json` has them."""
    return {
        "currency": "USD",
        "prices_of": PRICED,
        "bill": _month_document(month(stored, requests)),
        "share": _month_document(share(stored, requests)),
    }


def _month_document(one: Month) -> dict[str, float]:
    return {"storage": one.storage, "class_a": one.class_a, "class_b": one.class_b, "total": one.total}


def _billed(used: int, unit: int, free: int, price: float) -> float:
    return round(max(0, math.ceil(used / unit) - free) * price, 3)
