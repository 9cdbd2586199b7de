"""What a store charges for requests and bytes, by its list prices. Pure.

Clouds that bill as R2 does round what is used beyond a month's free tier up, to whole GB-months and millions of
requests. Removing objects is free.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from reconciler.frozen import Frozen

if TYPE_CHECKING:
    from reconciler.stores.requests import Prices, RequestCounts

GB, MILLION = 10**9, 10**6


class Month(Frozen):
    """US dollars."""

    storage: float
    class_a: float
    class_b: float

    @property
    def total(self) -> float:
        # Rounded, so that the JSON has no noise of binary fractions.
        return round(self.storage + self.class_a + self.class_b, 6)


def month(prices: Prices, stored: int, requests: RequestCounts) -> Month:
    """Returns the bill of a month with so many bytes stored from its first day on, and with these requests."""
    return Month(
        _billed(stored, GB, prices.free_storage, prices.storage),
        _billed(requests.class_a, MILLION, prices.free_class_a, prices.class_a),
        _billed(requests.class_b, MILLION, prices.free_class_b, prices.class_b),
    )


def share(prices: Prices, stored: int, requests: RequestCounts) -> Month:
    """Returns what these add to a bill that is beyond the free tier anyway: neither free nor rounded up."""
    return Month(
        round(stored / GB * prices.storage, 6),
        round(requests.class_a / MILLION * prices.class_a, 6),
        round(requests.class_b / MILLION * prices.class_b, 6),
    )


def requests_document(requests: RequestCounts) -> dict[str, Any]:
    """Writes the requests as `schema/plan.schema.json` has them."""
    return {"class_a": requests.class_a, "class_b": requests.class_b, "by_kind": dict(requests.by_name)}


def months_document(prices: Prices, stored: int, requests: RequestCounts) -> dict[str, Any]:
    """Writes the bill and the share as `schema/plan.schema.json` has them."""
    return {
        "currency": "USD",
        "prices_of": prices.as_of,
        "bill": _month_document(month(prices, stored, requests)),
        "share": _month_document(share(prices, stored, requests)),
    }


def _month_document(one: Month) -> dict[str, float]:
    return {"storage": one.storage, "class_a": one.class_a, "class_b": one.class_b, "total": one.total}


def _billed(used: int, unit: int, free: int, price: float) -> float:
    return round(max(0, math.ceil(used / unit) - free) * price, 3)
