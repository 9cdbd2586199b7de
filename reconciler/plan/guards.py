"""Holds back plans that would prune a lot, which is more often a mistake than intended. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from reconciler.errors import PlanRefused
from reconciler.plan.diff import Action

if TYPE_CHECKING:
    from reconciler.plan.plan import Plan, RepositoryPlan

PRUNE_SHARE = 0.30
PRUNE_COUNT = 10
"""Prunes that exceed both the share of the tags and the number need `--allow-prune`: in one repository, or in all."""

EMPTIED_SHARE = 1 / 3
EMPTIED_COUNT = 2
"""So do repositories that lose their last tag, if they exceed both of these."""


def held_back(plan: Plan) -> tuple[str, ...]:
    """Returns why prunes of the plan need `--allow-prune`, a line for each reason; none if they are allowed."""
    return () if plan.allow_prune else _too_many_in_all(plan) or tuple(filter(None, map(_too_many, plan.repositories)))


def will_fail(plan: Plan, *, strict: bool) -> bool:
    """Returns whether an apply will exit with 1.

    That is for errors, prunes that are held back, a box that is older than the one before, and with `strict` warnings.
    """
    return bool(plan.counts["errors"] or held_back(plan) or plan.older_box or (strict and plan.all_warnings))


def refuse_older_box(plan: Plan) -> None:
    """Raises `PlanRefused` if the images come from a box that is older than the one before."""
    if plan.older_box:
        raise PlanRefused((plan.older_box,))


def why_held_back(plan: Plan) -> Callable[[RepositoryPlan], str | None]:
    """Returns what tells of a repository of the plan why its prunes are held back, None if they are not."""
    if plan.allow_prune:
        return lambda _: None
    # Once for all of them: a plan may have thousands.
    in_all = next(iter(_too_many_in_all(plan)), None)
    return lambda repository: in_all or _too_many(repository)


IF_MEANT = "if that is meant, add --allow-prune"


def _too_many(repository: RepositoryPlan) -> str | None:
    prunes, tags = _lost(repository), _tags(repository)
    if prunes > PRUNE_COUNT and prunes > PRUNE_SHARE * tags:
        return f"{repository.target}: {prunes} of {tags} tags would be pruned; {IF_MEANT}"
    return None


def _too_many_in_all(plan: Plan) -> tuple[str, ...]:
    """Judges the repositories together; what a single one loses is judged by `_too_many`."""
    losing = [one for one in plan.repositories if _lost(one)]
    # One repository alone may lose every tag, up to `PRUNE_COUNT`: taking a mirror out of mirrors.yaml is a plain edit.
    if len(losing) < 2:
        return ()
    prunes, emptied = (
        sum(map(_lost, losing)),
        sum(_lost(one) == _tags(one) and not one.of(Action.ADD) for one in losing),
    )
    tags, repositories = plan.extent.tags, plan.extent.repositories
    reasons = []
    if prunes > PRUNE_COUNT and prunes > PRUNE_SHARE * tags:
        reasons.append(f"{prunes} of all {tags} tags would be pruned, in {len(losing)} repositories; {IF_MEANT}")
    if emptied > EMPTIED_COUNT and emptied > EMPTIED_SHARE * repositories:
        reasons.append(f"{emptied} of all {repositories} repositories would lose their last tag; {IF_MEANT}")
    return tuple(reasons)


def _lost(repository: RepositoryPlan) -> int:
    return sum(change.before is not None for change in repository.of(Action.PRUNE))


def _tags(repository: RepositoryPlan) -> int:
    """How many tags the repository has before the plan is applied."""
    return repository.unchanged + _lost(repository) + len(repository.of(Action.UPDATE))
