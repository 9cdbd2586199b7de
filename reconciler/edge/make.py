"""Makes the plan of an edge: reads what Cloudflare has, and compares. Reads only, prints nothing.

with connect(mirrors.store, os.environ) as cloudflare:
    plan = make(mirrors.edge, bucket_names(mirrors.store), cloudflare)
    for outcome in apply_plan(plan, cloudflare, Wait(600.0, print)):
        print(outcome)
    settle(plan, cloudflare, Wait(600.0, print))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from reconciler.edge import cloudflare as api
from reconciler.edge.observed import Observed
from reconciler.edge.plan import make_edge_plan
from reconciler.edge.rules import Phase
from reconciler.errors import EdgeError

if TYPE_CHECKING:
    from reconciler.edge.cloudflare import Cloudflare
    from reconciler.edge.config import EdgeConfig
    from reconciler.edge.plan import EdgePlan
    from reconciler.stores.buckets import R2


def connect(store: R2, environ: Mapping[str, str]) -> Cloudflare:
    """Opens the API of the account that has the bucket. Raises `EdgeDenied` without a token in `environ`."""
    return api.Cloudflare(api.find_token(environ), store.account_id, store.jurisdiction, api.API)


def bucket_names(store: R2) -> tuple[str, ...]:
    """Lists the buckets of a store, the public one first."""
    return tuple(dict.fromkeys(name for name in (store.bucket, store.state_bucket) if name))


def make(edge: EdgeConfig, buckets: Sequence[str], cloudflare: Cloudflare, *, remove: bool = False) -> EdgePlan:
    """Plans what has to change at Cloudflare; with `remove`, the removal of our rules from the zone.

    Raises `EdgeError`, and `EdgeDenied` for a token that lacks a permission.
    """
    return make_edge_plan(edge, buckets, observe(edge, buckets, cloudflare), remove=remove)


def observe(edge: EdgeConfig, buckets: Sequence[str], cloudflare: Cloudflare) -> Observed:
    """Reads the current state of the zone, the buckets and the domain; the first of `buckets` is the public one.

    Everything that a plan needs is read, so that a token without one of the permissions is refused here.
    """
    cloudflare.check_token()
    zone = cloudflare.zone(edge.zone)
    # mirrors.yaml may have the zone's id, from which nothing could be checked offline.
    if edge.hostname != zone.name and not edge.hostname.endswith(f".{zone.name}"):
        raise EdgeError(f"zone {edge.zone}", f"is {zone.name}, but {edge.hostname} is not in it; correct edge.zone")
    existing = frozenset(bucket for bucket in buckets if cloudflare.has_bucket(bucket))
    domain = cloudflare.domain(buckets[0], edge.hostname) if buckets[0] in existing else None
    return Observed(zone, existing, domain, {phase: cloudflare.ruleset(zone, phase) for phase in Phase})
