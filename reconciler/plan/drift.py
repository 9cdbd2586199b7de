"""Finds the tags of a plan that another writer of the target has moved: shown by plan, and left alone by apply."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.errors import StoreError
from reconciler.oci.spec import Digest
from reconciler.target.own_digests import own_digests
from reconciler.target.protocol import DRIFT, HasOtherWriters
from reconciler.work.threads import RESOLVE_WORKERS, each, readers

if TYPE_CHECKING:
    from reconciler.plan.diff import Change
    from reconciler.plan.make import Made
    from reconciler.plan.plan import Plan
    from reconciler.target.protocol import Target

Drifted = dict[tuple[str, str], Digest]
"""Repository and tag -> what another writer has put there."""


def find_drift(plan: Plan, target: Target, executor: Executor) -> Drifted:
    """Resolves each tag that the plan changes, at targets that have other writers. Raises `StoreError`."""
    if not isinstance(target, HasOtherWriters):
        return {}
    tags = [(one.target, change.tag) for one in plan.repositories for change in one.changes]
    found = each(executor, lambda name: target.drifted(*name), tags)
    return {name: digest for name, digest in found if digest}


def with_drift_shown(made: Made, target: Target) -> Made:
    """Returns a plan with a warning for each of its tags that another writer of the target has moved."""
    if not isinstance(target, HasOtherWriters) or not made.plan.has_changes:
        return made
    plan, owned = made.plan, target.owning(own_digests(lambda: made.observed.index, wanted_of(made.plan)))
    try:
        with readers(RESOLVE_WORKERS) as executor:
            drifted = find_drift(plan, owned, executor)
    except StoreError as error:
        found = [f"the tags at the target cannot be resolved, so changes by other writers are not shown: {error}"]
    else:
        found = [f"{name}:{tag}: {DRIFT.format(digest)}" for (name, tag), digest in sorted(drifted.items())]
    return replace(made, plan=replace(plan, warnings=(*plan.warnings, *found)))


def without_drift(plan: Plan, drifted: Drifted) -> tuple[Plan, list[tuple[str, Change, Digest]]]:
    """Returns the plan without the changes of these tags, and those changes. Pure."""
    left = [
        (one.target, change, drifted[one.target, change.tag])
        for one in plan.repositories
        for change in one.changes
        if (one.target, change.tag) in drifted
    ]
    repositories = tuple(
        replace(one, changes=tuple(change for change in one.changes if (one.target, change.tag) not in drifted))
        for one in plan.repositories
    )
    return replace(plan, repositories=repositories), left


def wanted_of(plan: Plan) -> dict[tuple[str, str], Digest]:
    """Returns what each tag that the plan changes is to point to: that may be there already. Pure."""
    return {
        (one.target, change.tag): change.after.digest
        for one in plan.repositories
        for change in one.changes
        if change.after
    }
