"""Makes the plan of an edge: reads what Cloudflare has, and compares. Reads only, prints nothing.

with connect(mirrors.store, os.environ) as cloudflare:
    plan = make(mirrors.edge, bucket_names(mirrors.store), cloudflare)
    for outcome in apply_plan(plan, cloudflare, Wait(600.0, print)):
        print(outcome)
    settle(plan, cloudflare, Wait(600.0, print))
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from reconciler.edge import cloudflare as api
from reconciler.edge.observed import LiveWorker, Observed
from reconciler.edge.plan import make_edge_plan, make_rollback_plan
from reconciler.edge.rules import Phase
from reconciler.edge.script import VERSION, script_name, wanted_script, worker_modules
from reconciler.errors import EdgeDenied, EdgeError, EdgeUnreachable

if TYPE_CHECKING:
    from reconciler.edge.cloudflare import Cloudflare
    from reconciler.edge.config import EdgeConfig
    from reconciler.edge.observed import LiveVersion, Zone
    from reconciler.edge.plan import EdgePlan
    from reconciler.stores.buckets import R2

MAX_LOOKED_AT = 20
"""Earlier deployments among which a version with other content is looked for."""


def connect(store: R2, environ: Mapping[str, str]) -> Cloudflare:
    """Opens the API of the account that has the bucket. Raises `EdgeDenied` without a token in `environ`."""
    return api.Cloudflare(api.find_token(environ), store.account_id, store.jurisdiction, api.API)


def bucket_names(store: R2) -> tuple[str, ...]:
    """Lists the buckets of a store, the public one first."""
    return tuple(dict.fromkeys(name for name in (store.bucket, store.state_bucket) if name))


def make(edge: EdgeConfig, buckets: Sequence[str], cloudflare: Cloudflare, *, remove: bool = False) -> EdgePlan:
    """Plans what has to change at Cloudflare; with `remove`, the removal of our rules and the Worker.

    Raises `EdgeError`, and `EdgeDenied` for a token that lacks a permission.
    """
    script = wanted_script(edge, buckets, cloudflare.jurisdiction, worker_modules()) if edge.worker else None
    observed = observe(edge, buckets, cloudflare)
    if edge.access:
        _check_closed(observed.buckets, cloudflare)
    return make_edge_plan(edge, buckets, observed, script, remove=remove)


def _check_closed(buckets: Collection[str], cloudflare: Cloudflare) -> None:
    for bucket in sorted(buckets):
        address = cloudflare.managed_domain(bucket)
        if address:
            why = f"can be read without a token at {address}, and edge.access has tokens; nothing was changed"
            raise EdgeError(
                f"bucket {bucket}", f"{why}. Turn off the public development URL in the bucket's settings at Cloudflare"
            )


def make_rollback(edge: EdgeConfig, buckets: Sequence[str], cloudflare: Cloudflare) -> EdgePlan:
    """Plans that the Worker's earlier version answers again. Raises `EdgeError` if there is none."""
    observed = observe(edge, buckets, cloudflare)
    worker = observed.worker
    if worker and worker.version:
        previous = _previous(script_name(edge.hostname), worker.version, cloudflare)
        observed = replace(observed, worker=replace(worker, previous=previous))
    return make_rollback_plan(edge, buckets, observed)


def validated(plan: EdgePlan, cloudflare: Cloudflare) -> EdgePlan:
    """Has Cloudflare validate the rules that a plan adds or changes, and returns the plan with those that it refuses.

    Nothing is stored. A token that may not change rules may not have them validated either: then nothing is checked.
    """
    return replace(plan, refused=dict(_refused(plan, cloudflare)))


def _refused(plan: EdgePlan, cloudflare: Cloudflare) -> Iterator[tuple[str, str]]:
    for change in plan.changes:
        if change.phase is None or change.after is None:
            continue
        try:
            cloudflare.validate_rule(plan.zone, change.phase, plan.ruleset_ids[change.phase], change.id, change.after)
        except (EdgeDenied, EdgeUnreachable):
            return
        except EdgeError as error:
            yield change.name, error.why


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
    rulesets = {phase: cloudflare.ruleset(zone, phase) for phase in Phase}
    return Observed(zone, existing, domain, rulesets, _worker(edge, zone, cloudflare))


def _worker(edge: EdgeConfig, zone: Zone, cloudflare: Cloudflare) -> LiveWorker | None:
    name = script_name(edge.hostname)
    try:
        routes, deployments = cloudflare.routes(zone), cloudflare.deployments(name)
        domain = cloudflare.worker_domain(edge.hostname)
    except EdgeDenied:
        # A token for an edge without a Worker lacks these permissions, and then there has been none.
        if edge.worker:
            raise
        return None
    current = deployments[0] if deployments else ()
    # Several versions at once are a gradual deployment by another client, of which no one is the current version.
    version = cloudflare.version(name, current[0]) if len(current) == 1 else None
    return LiveWorker(deployments is not None, version, None, routes, domain)


def _previous(name: str, current: LiveVersion, cloudflare: Cloudflare) -> LiveVersion | None:
    """Finds the last version with other content. Setting a secret deploys the same content anew."""
    deployed = (ids[0] for ids in cloudflare.deployments(name) or () if len(ids) == 1)
    for version_id in islice((one for one in deployed if one != current.id), MAX_LOOKED_AT):
        version = cloudflare.version(name, version_id)
        if version.variable(VERSION) not in (None, current.variable(VERSION)):
            return version
    return None
