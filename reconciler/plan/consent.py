"""Checks that what a person lets through in one run is something that waits, or that moved. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from reconciler.errors import UsageError
from reconciler.plan.ages import MOVED, NOW

if TYPE_CHECKING:
    from reconciler.plan.ages import Consent
    from reconciler.plan.plan import Plan


def check_consent(plan: Plan, consent: Consent) -> None:
    """Raises `UsageError` for a tag that the plan would have published anyway, or does not publish at all."""
    problems = [*_idle(plan, NOW, consent.now, "does not wait"), *_idle(plan, MOVED, consent.moved, "has not moved")]
    if problems:
        raise UsageError("; ".join(problems))


def check_consents(plans: Sequence[Plan], consent: Consent) -> None:
    """Does the same for the plans of several stores: a tag may wait in one and be published in another."""
    refused = []
    for one in plans:
        try:
            check_consent(one, consent)
        except UsageError as error:
            refused.append(error)
    if refused and len(refused) == len(plans):
        raise refused[0]


def _idle(plan: Plan, option: str, names: frozenset[str], why: str) -> Iterator[str]:
    let = {f"{one.target}:{change.tag}" for one in plan.repositories for change in one.changes if change.by == option}
    for name in sorted(names - let):
        yield f"{option} {name[:300]}: this tag {why}; expected TARGET:TAG as `r2mirror plan` shows it"
