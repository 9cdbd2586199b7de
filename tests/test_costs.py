"""R2's bill: what is free, what is rounded up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.costs import CLASS_A, CLASS_B, FREE, GB, MILLION, Month, class_a, class_b, month


@pytest.mark.parametrize(
    ("stored", "requests", "free", "expected"),
    [
        (0, {}, False, Month(0, 0, 0)),
        (1, {"PutObject": 1, "GetObject": 1}, False, Month(0.015, 4.5, 0.36)),
        (1, {"PutObject": 1, "GetObject": 1}, True, Month(0, 0, 0)),
        (10 * GB, {"UploadPart": MILLION, "GetObject": 10 * MILLION}, True, Month(0, 0, 0)),
        (10 * GB + 1, {"UploadPart": MILLION + 1, "GetObject": 10 * MILLION + 1}, True, Month(0.015, 4.5, 0.36)),
        (1000 * GB, {"DeleteObjects": 10**9}, True, Month(14.85, 0, 0)),
    ],
)
def test_a_bill(stored: int, requests: dict[str, int], free: bool, expected: Month) -> None:
    assert month(stored, requests, free_tier=free) == expected


@given(st.dictionaries(st.sampled_from([*CLASS_A, *CLASS_B, *FREE]), st.integers(0, 10**8)), st.integers(0, 10**15))
def test_a_bill_grows_with_what_is_used_and_a_free_tier_never_costs(requests: dict[str, int], stored: int) -> None:
    whole, paid = (month(stored, requests, free_tier=free) for free in (False, True))
    assert 0 <= paid.total <= whole.total <= month(stored + GB, requests, free_tier=False).total
    assert class_a(requests) + class_b(requests) + sum(requests.get(kind, 0) for kind in FREE) == sum(requests.values())
