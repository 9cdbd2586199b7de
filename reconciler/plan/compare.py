"""Compares what mirrors.yaml declares with the mirror index: the plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.errors import StoreError
from reconciler.plan.cost.quotas import estimate_pulls, spendings
from reconciler.plan.image_work import image_work
from reconciler.plan.owners import left_alone
from reconciler.plan.plan import only_adds, plan_for
from reconciler.stores.kinds import is_registry
from reconciler.target.inventory import INDEX_GONE
from reconciler.target.layout import PING
from reconciler.target.recorded import check_recorded
from reconciler.work.threads import RESOLVE_WORKERS, readers

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.plan.connections import Connections
    from reconciler.plan.desire import Desired
    from reconciler.plan.plan import Plan
    from reconciler.plan.settings import Choices
    from reconciler.sources.quota import Spending
    from reconciler.target.index import MirrorIndex
    from reconciler.target.ledger import StoredIndex

ONLY_MISSING = "only missing tags are planned: those that are mirrored are neither updated nor pruned"

STATE_OF_ANOTHER = (
    "it holds images itself, so its mirror index is not that of {}; name a bucket or folder of its own as store.state"
)
"""The error for a registry whose state would be in a bucket or folder that is a target."""


def compared(
    desired: tuple[Desired, ...],
    observed: StoredIndex,
    mirrors: Mirrors,
    connections: Connections,
    choices: Choices,
) -> Plan:
    """Returns the plan that makes the target what is desired. Raises `StoreError`."""
    check_recorded(connections.target, observed.index)
    plan = plan_for(desired, observed.index, observed.etag, mirrors.sha256, mirrors.name)
    plan = only_adds(plan) if choices.only_missing else plan
    plan = replace(
        plan,
        spendings=_spendings(plan, observed.index, connections),
        notes=(*((ONLY_MISSING,) if choices.only_missing else ()), *left_alone(observed.index, mirrors.owns)),
        warnings=(
            *plan.warnings,
            *_lost_index(mirrors, observed, connections),
            *_private(plan, observed, mirrors, connections),
            *_unlisted(mirrors, observed, choices),
        ),
        allow_prune=choices.allow_prune,
        root=observed.digest,
    )
    return _by_powers(plan, mirrors, observed.index, connections)


def _spendings(plan: Plan, index: MirrorIndex, connections: Connections) -> tuple[Spending, ...]:
    """Estimates the pulls of the plan. Images of earlier targets of the run count once."""
    counted = connections.counted
    spent = spendings(estimate_pulls(image_work(plan), index, counted), connections.open_source)
    if counted is not None:
        # Later targets of the run read from this one what it has.
        counted.update(tag.digest for one in index.repositories.values() for tag in one.tags.values())
    return spent


def _by_powers(plan: Plan, mirrors: Mirrors, index: MirrorIndex, connections: Connections) -> Plan:
    """Returns a plan with what a registry that is the target cannot do of it, or does in another way."""
    if not is_registry(mirrors.store) or not plan.has_changes:
        return plan
    if connections.target.state.size(PING) is not None:
        raise StoreError(connections.target.state.name, STATE_OF_ANOTHER.format(mirrors.store.registry))
    # Its client is not loaded for the other kinds.
    from reconciler.plan.registry_powers import power_notes, power_warnings
    from reconciler.target.in_registry import powers_of

    try:
        powers = powers_of(connections.target)
    except StoreError as error:
        return replace(plan, warnings=(*plan.warnings, f"the registry cannot be asked what it can do: {error}"))
    warnings = (*plan.warnings, *power_warnings(plan, mirrors.store, powers))
    undeleted = sum(len(one.undeleted) for one in index.repositories.values())
    notes = (*plan.notes, *power_notes(plan, mirrors.store, powers, undeleted))
    return replace(plan, warnings=warnings, notes=notes)


def _lost_index(mirrors: Mirrors, observed: StoredIndex, connections: Connections) -> Iterator[str]:
    """Warns where there is no mirror index, although the bucket has repositories that it should list."""
    # Without the index an apply would add every tag again, and prune none that are no longer wanted.
    if observed.etag is None:
        found = connections.target.holds_any([mirror.target for mirror in mirrors.mirrors])
        if found:
            yield INDEX_GONE.format(found)


def _unlisted(mirrors: Mirrors, observed: StoredIndex, choices: Choices) -> Iterator[str]:
    if mirrors.namespaces:
        from reconciler.plan.namespaces import unlisted

        yield from unlisted(mirrors, observed.index, choices.only)


def _private(plan: Plan, observed: StoredIndex, mirrors: Mirrors, connections: Connections) -> Iterator[str]:
    """Warns of images behind a login that the store would serve to everyone."""
    if mirrors.store.public_url and not mirrors.is_private:
        from reconciler.plan.private import private_sources, warning_of

        with readers(RESOLVE_WORKERS) as executor:
            found = private_sources(plan, observed.index, connections.open_source, executor)
        if found:
            yield warning_of(found, mirrors.store.public_url)
