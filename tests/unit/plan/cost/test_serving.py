"""What pulls cost, by hand for some numbers, and by its laws for all."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.oci.image import FetchedManifest, Image
from reconciler.oci.spec import OCI_INDEX, OCI_MANIFEST, Descriptor, Digest, Index, Manifest
from reconciler.plan.cost.serving import (
    PRICES,
    TypicalPull,
    hub_pulls_a_month,
    pull_costs,
    pulls_free_a_day,
    requests_of,
    transfer_cost,
    worker_cost,
)
from reconciler.plan.sizes import WorkerUse
from reconciler.stores.buckets import R2_PRICES


@pytest.mark.parametrize(
    ("requests", "dollars"),
    [
        (0, 0.0),
        (3_000_000, 0.0),
        (3_000_001, 5.0),
        (10_000_000, 5.0),
        # 10 million more requests, and 10 of 40 million ms more than the 30 that are included.
        (20_000_000, 5.0 + 3.0 + 0.2),
    ],
)
def test_the_worker(requests: int, dollars: float) -> None:
    assert worker_cost(requests, 2.0) == dollars


@pytest.mark.parametrize(
    ("gigabytes", "dollars"),
    [(100, 0.0), (1000, 81.0), (100 + 10_240 + 1000, 10_240 * 0.09 + 1000 * 0.085), (300_000, 18_886.2)],
)
def test_traffic_of_aws(gigabytes: float, dollars: float) -> None:
    assert transfer_cost(gigabytes) == pytest.approx(dollars, abs=0.01)


def test_three_sizes_of_use() -> None:
    few, many, most = (pull_costs(pulls, R2_PRICES) for pulls in (10_000, 10**6, 10**8))
    assert (few.rules, few.worker, few.ecr, few.hub) == ((0.0, 0.0), (0.0, 0.0), 81.0, 0.0)
    # Within 10 million reads; and 10 million requests, more than are free.
    assert many.rules == (0.0, 0.0)
    assert many.worker == (5.0, 6.8)
    assert many.hub is None
    # 200 and 1,000 million reads, 10 of which are free.
    assert most.rules == pytest.approx((190 * 0.36, 990 * 0.36))
    served = 5 + 990 * 0.30 + 1970 * 0.02
    assert most.worker == pytest.approx((served + 90 * 0.36, served + 1490 * 0.36))
    assert most.ecr > 500_000
    assert hub_pulls_a_month() == 12_000


PULLS = st.integers(0, 10**9)


@given(PULLS, PULLS)
def test_more_pulls_never_cost_less_and_a_cache_never_more(one: int, other: int) -> None:
    few, many = (pull_costs(pulls, R2_PRICES) for pulls in sorted((one, other)))
    for costs in (few, many):
        assert costs.rules[0] <= costs.rules[1]
        assert costs.worker[0] <= costs.worker[1]
    assert few.rules[0] <= many.rules[0]
    assert few.worker[0] <= many.worker[0]
    assert few.ecr <= many.ecr


def test_prices_say_where_they_are_from() -> None:
    assert all(url.startswith("https://") for url in PRICES.sources.values())
    assert PRICES.transfer[-1][0] == math.inf


def manifest(*blobs: str) -> FetchedManifest:
    config, *layers = (Descriptor("x", Digest.of(one.encode()), 1) for one in blobs)
    body = "".join(blobs).encode()
    return FetchedManifest(Digest.of(body), body, Manifest(OCI_MANIFEST, config, tuple(layers)))


def test_the_requests_of_a_pull_are_those_for_the_largest_platform() -> None:
    small, large = manifest("c", "1"), manifest("d", "1", "2", "2")
    assert requests_of(Image((small,))) == 3 + 2
    # A layer that an image has twice is pulled once.
    children = tuple(one.descriptor for one in (small, large))
    index = FetchedManifest(Digest.of(b"index"), b"index", Index(OCI_INDEX, children))
    assert requests_of(Image((small, large, index))) == 4 + 3
    assert TypicalPull().requests == 4 + 6


def test_pulls_that_are_free() -> None:
    assert pulls_free_a_day(WorkerUse(2, 20)) == 10_000
    assert pulls_free_a_day(WorkerUse(0, 0)) == 0
