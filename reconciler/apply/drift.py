"""Finds the tags of a plan that another writer of the target has moved, before an apply touches any of them."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.oci.spec import Digest
from reconciler.target.protocol import HasOtherWriters
from reconciler.work.threads import each

if TYPE_CHECKING:
    from reconciler.plan.diff import Change
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
