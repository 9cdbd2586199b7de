"""Makes a plan so: under the lock, and only from the mirror index that the plan was made from.

Where there is nothing to do, nothing is taken and nothing written. `run` does the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import PlanRefused
from reconciler.plan.owners import is_unclaimed
from reconciler.plan.plan import noted_all
from reconciler.target.index import expired
from reconciler.target.ledger import read_index
from reconciler.target.lock import held, read_lock

if TYPE_CHECKING:
    from collections.abc import Generator

    from reconciler.apply.outcome import Event
    from reconciler.apply.terms import Edges, Terms
    from reconciler.plan.plan import Plan
    from reconciler.stores import Store
    from reconciler.target.ledger import Observed


def apply(plan: Plan, edges: Edges, terms: Terms, observed: Observed | None = None) -> Generator[Event, None, None]:
    """Does the plan's changes and yields what became of each. Close the generator to stop early.

    `observed` is the mirror index that the plan was made from, where the caller still has it: it saves a request.
    What fails is an outcome. Raises `LockHeld`, `LockLost`, `PlanRefused` if the index is not what the plan was made
    from, and `StoreError` where the store itself gave way; what was done until then is recorded.
    """
    if not plan.has_changes and not _has_other_work(plan, edges.state, terms, observed):
        return
    # Most runs find nothing new, and need nothing of what copies.
    from reconciler.apply.run import Run

    patience = min(terms.lock_timeout, terms.deadline.left)
    with held(edges.state, terms.command, patience, terms.waiting) as lease:
        observed = read_index(edges.state)
        if plan.etag != observed.etag:
            if terms.plan_again is None:
                raise moved_on(plan, observed)
            plan = terms.plan_again()
            observed = read_index(edges.state)
        lease.unfinished = True
        yield from Run(plan, edges, terms, observed, lease).events()
        lease.unfinished = False


def _has_other_work(plan: Plan, state: Store, terms: Terms, observed: Observed | None) -> bool:
    """Whether a run died here, a repository has no owner yet, a source has news, or a retired digest's time is over."""
    left = read_lock(state)
    if left and left.has_run_out:
        return True
    known = observed or read_index(state)
    if noted_all(known.index, plan, known.at) is not known.index:
        return True
    return any(is_unclaimed(known.index, one.target) for one in plan.repositories) or any(
        one.owner == terms.name and expired(one, terms.retain(target), known.at)
        for target, one in known.index.repositories.items()
    )


def moved_on(plan: Plan, observed: Observed) -> PlanRefused:
    """The error for a plan that was made from another mirror index than the one that is there now."""
    reason = (
        f"the mirror index has moved on: the plan was made from serial {plan.serial}, now it has serial "
        f"{observed.index.serial}; nothing was done. Plan again"
    )
    return PlanRefused((reason,))
