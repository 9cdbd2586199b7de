"""Estimates what an apply moves and costs. Fetches the new manifests for that, which may count as pulls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.oci.spec import Digest
from reconciler.plan.cost.measure import measure
from reconciler.plan.cost.quotas import spendings
from reconciler.plan.make import in_silence
from reconciler.plan.plan import leaving_out
from reconciler.plan.registry_powers import too_large
from reconciler.registry.kinds import kind_of
from reconciler.stores.registry import RegistryStore
from reconciler.work.threads import RESOLVE_WORKERS, readers

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.plan.connections import Connections
    from reconciler.plan.make import Made, Stage
    from reconciler.plan.plan import Plan


def with_sizes(
    made: Made,
    mirrors: Mirrors,
    connections: Connections,
    held: Mapping[Digest, bytes] | None = None,
    stage: Stage = in_silence,
) -> Plan:
    """Returns the plan with its sizes, requests and prices.

    held   the manifests that an earlier plan holds; the plan then holds those that are needed of them, and those that
           are fetched now, so that an apply of it does not fetch them again; None: it holds none
    stage  is told what is under way

    Raises `StoreError`.
    """
    plan, observed, open_source = made.plan, made.observed, connections.open_source
    target, requests = connections.target, mirrors.store.requests
    with stage("Reading manifests ..."), readers(RESOLVE_WORKERS) as executor:
        found = measure(
            plan, observed.index, target, open_source, executor, requests, observed.at, held, named=mirrors.naming()
        )
    spent = spendings(found.pulls, open_source)
    has_worker = bool(mirrors.edge and mirrors.edge.worker)
    sizes = replace(found.sizes, prices=mirrors.store.prices, worker=found.served if has_worker else None)
    warnings = (*plan.warnings, *_too_large(found.blobs, mirrors))
    plan = replace(plan, sizes=sizes, manifests=found.bodies, spendings=spent, warnings=warnings)
    return leaving_out(plan, found.left_out)


def _too_large(blobs: Mapping[str, Mapping[Digest, int]], mirrors: Mirrors) -> Iterator[str]:
    store = mirrors.store
    if isinstance(store, RegistryStore):
        # Limits are known of hosts by their names alone.
        yield from too_large(blobs, store, kind_of(store.registry, {}).powers)
