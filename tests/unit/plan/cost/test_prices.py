"""R2's bill: what is free, what is rounded up, and this bucket's share of a larger bill."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.plan.cost.prices import GB, MILLION, Month, month, share
from reconciler.stores.buckets import R2_PRICES, S3_REQUESTS
from reconciler.stores.requests import counted


@pytest.mark.parametrize(
    ("stored", "sent", "bill", "part"),
    [
        (0, {}, Month(0, 0, 0), Month(0, 0, 0)),
        (GB, {"PutObject": 100, "GetObject": 100}, Month(0, 0, 0), Month(0.015, 0.00045, 0.000036)),
        (10 * GB, {"UploadPart": MILLION, "GetObject": 10 * MILLION}, Month(0, 0, 0), Month(0.15, 4.5, 3.6)),
        (10 * GB + 1, {"UploadPart": MILLION + 1}, Month(0.015, 4.5, 0), Month(0.15, 4.500004, 0)),
        (GB, {"CopyObject": 3 * MILLION, "GetObject": 11 * MILLION}, Month(0, 9, 0.36), Month(0.015, 13.5, 3.96)),
        (1000 * GB, {"DeleteObjects": 10**9}, Month(14.85, 0, 0), Month(15, 0, 0)),
    ],
)
def test_a_bill(stored: int, sent: dict[str, int], bill: Month, part: Month) -> None:
    requests = counted(S3_REQUESTS, sent)
    assert (month(R2_PRICES, stored, requests), share(R2_PRICES, stored, requests)) == (bill, part)


@given(st.dictionaries(st.sampled_from(S3_REQUESTS.names), st.integers(0, 10**8)), st.integers(0, 10**15))
def test_a_bill_grows_with_what_is_used_and_every_request_has_one_class(sent: dict[str, int], stored: int) -> None:
    requests = counted(S3_REQUESTS, sent)
    assert 0 <= month(R2_PRICES, stored, requests).total <= month(R2_PRICES, stored + GB, requests).total
    assert requests.class_a + requests.class_b + sent.get("DeleteObjects", 0) == sum(sent.values())
