"""What pulls cost: from a bucket by rules, through the Worker, and elsewhere, by list prices. Pure.

`PRICES` is the one table of these prices; R2's are those of the store. Amounts are US dollars a month of 30 days.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.oci.spec import Index
from reconciler.plan.cost.prices import MILLION, month
from reconciler.stores.requests import RequestCounts

if TYPE_CHECKING:
    from reconciler.oci.image import Image
    from reconciler.plan.sizes import WorkerUse
    from reconciler.stores.requests import Prices

DAYS = 30


class ServingPrices(Frozen):
    """List prices of what answers pulls.

    as_of               the month in which they were looked up
    sources             whose prices -> where they are published
    worker_free_a_day   requests of Workers that are free, for a whole account
    worker_plan         the paid plan, which is needed for more
    worker_included     millions of requests in that plan
    worker_request      a million more
    cpu_included        millions of milliseconds of CPU time in that plan
    cpu                 a million more
    transfer_free       GB that AWS sends to the internet for free, for a whole account
    transfer            GB -> the price of each of the next so many; the last is without an end
    hub_pulls           pulls that Docker Hub allows an address in `hub_window` hours without an account
    hub_account         a user of Docker Team, paid by the month, whose pulls Docker Hub does not limit, as long as
                        their use is fair
    """

    as_of: str
    sources: Mapping[str, str]
    worker_free_a_day: int
    worker_plan: float
    worker_included: int
    worker_request: float
    cpu_included: int
    cpu: float
    transfer_free: int
    transfer: tuple[tuple[float, float], ...]
    hub_pulls: int
    hub_window: int
    hub_account: float


PRICES = ServingPrices(
    as_of="November 2026",
    sources={
        "R2": "https://developers.cloudflare.com/r2/pricing/",
        "Workers": "https://developers.cloudflare.com/workers/platform/pricing/",
        "ECR": "https://aws.amazon.com/ecr/pricing/",
        "AWS's traffic": "https://www.egresscost.com/aws",  # AWS's own page fills in its prices by a script
        "Docker Hub": "https://www.docker.com/pricing/faq/",
        "Docker Hub's limits": "https://docs.docker.com/docker-hub/usage/",
    },
    worker_free_a_day=100_000,
    worker_plan=5.0,
    worker_included=10,
    worker_request=0.30,
    cpu_included=30,
    cpu=0.02,
    transfer_free=100,
    transfer=((10_240, 0.09), (40_960, 0.085), (102_400, 0.07), (math.inf, 0.05)),
    hub_pulls=100,
    hub_window=6,
    hub_account=16.0,
)


class TypicalPull(Frozen):
    """A pull of an image for one platform, by a client that has none of it.

    blobs   its configuration and layers
    size    MB
    cpu_ms  the Worker's CPU time for each request, at most
    """

    blobs: int = 6
    size: int = 100
    cpu_ms: float = 2.0

    @property
    def requests(self) -> int:
        return BEFORE_BLOBS + 1 + self.blobs


BEFORE_BLOBS = 3
"""`/v2/`, the tag by HEAD, and the manifest; one more if an index comes first."""


class PullCosts(Frozen):
    """A month with so many pulls. Pairs: if all content by digest comes from Cloudflare's cache, and if none does.

    hub  None: more pulls than one address has without an account
    """

    pulls: int
    rules: tuple[float, float]
    worker: tuple[float, float]
    ecr: float
    hub: float | None


def requests_of(image: Image) -> int:
    """Counts the requests of one pull: for the platform that has most blobs, by a client that has none of them."""
    parsed = [one.parsed for one in image.manifests]
    blobs = max((len(one.blobs) for one in parsed if not isinstance(one, Index)), default=0)
    return BEFORE_BLOBS + isinstance(image.root.parsed, Index) + blobs


def pull_costs(pulls: int, r2: Prices, pull: TypicalPull | None = None) -> PullCosts:
    """Estimates a month with so many pulls, beyond what the content costs to store."""
    one = pull or TypicalPull()
    # Without the cache, the rules read the bucket for each request, and the Worker for each but /v2/, and each blob
    # twice: once more to fill the cache. With it, they read what is never cached: /v2/_ping and the tag.
    reads = {"rules": (2, one.requests), "worker": (1, one.requests - 1 + one.blobs)}
    rules = _pair(pulls, reads["rules"], r2)
    worker = worker_cost(pulls * one.requests, one.cpu_ms)
    cached, uncached = _pair(pulls, reads["worker"], r2)
    return PullCosts(
        pulls,
        rules,
        (round(worker + cached, 2), round(worker + uncached, 2)),
        transfer_cost(pulls * one.size / 1000),
        0.0 if pulls <= hub_pulls_a_month() else None,
    )


def pulls_free_a_day(use: WorkerUse) -> int:
    """Returns how many such pulls a day the Worker answers for free."""
    return PRICES.worker_free_a_day * use.images // max(1, use.requests)


def worker_cost(requests: int, cpu_ms: float) -> float:
    """Returns what so many requests of the Worker cost, spread evenly over a month."""
    if requests <= PRICES.worker_free_a_day * DAYS:
        return 0.0
    more = max(0.0, requests / MILLION - PRICES.worker_included) * PRICES.worker_request
    cpu = max(0.0, requests * cpu_ms / MILLION - PRICES.cpu_included) * PRICES.cpu
    return round(PRICES.worker_plan + more + cpu, 2)


def transfer_cost(gigabytes: float) -> float:
    """Returns what AWS charges for so many GB to the internet."""
    left, total = max(0.0, gigabytes - PRICES.transfer_free), 0.0
    for size, price in PRICES.transfer:
        part = min(left, size)
        total, left = total + part * price, left - part
    return round(total, 2)


def hub_pulls_a_month() -> int:
    """The pulls that Docker Hub allows one address in a month without an account."""
    return PRICES.hub_pulls * DAYS * 24 // PRICES.hub_window


def _pair(pulls: int, reads: tuple[int, int], r2: Prices) -> tuple[float, float]:
    cached, uncached = (month(r2, 0, RequestCounts({}, 0, pulls * one)).total for one in reads)
    return cached, uncached
