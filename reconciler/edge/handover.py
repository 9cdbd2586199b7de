"""Decides when the rules may go that a Worker replaces, or the Worker that the rules replace. Pure.

Pulls are answered by the rules or by the Worker's route. A plan adds what takes over, then removes what it replaces;
both together answer too. The removal is left out if anything before it failed, and waits until all of Cloudflare's
locations have what takes over.

A private bucket must never be open. Its own domain goes before what was in front of it; after a failure nothing else is
done, and what was in front goes only when all locations know that the domain has gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.edge.plan import EdgeAction, ResourceKind

if TYPE_CHECKING:
    from reconciler.edge.plan import EdgeChange, EdgePlan

SPREADING = 30.0
"""Seconds within which a change of a route or a rule reaches all of Cloudflare's locations."""


class Handover:
    """The state of one run that applies `plan`, change by change."""

    def __init__(self, plan: EdgePlan) -> None:
        self._is_private = bool(plan.edge.access)
        is_by_rules = plan.script is None or self._is_private
        self._replaced = (ResourceKind.ROUTE, ResourceKind.WORKER) if is_by_rules else (ResourceKind.RULE,)
        self._taking_over = (ResourceKind.ROUTE,) if plan.script else (ResourceKind.ROUTE, ResourceKind.RULE)
        if self._is_private:
            self._taking_over = (ResourceKind.DOMAIN,)
        # With `remove`, nothing takes over.
        self._is_needed = self._is_private or not plan.remove
        self._failed: EdgeChange | None = None
        self._is_spreading = False

    def why_not(self, change: EdgeChange) -> str | None:
        """Explains why a change must not be applied; None if it may be."""
        if self._failed and self._is_private:
            return f"{self._failed.kind} {self._failed.name} was not applied, and the bucket has to stay closed"
        if self._failed and self._is_needed and (change.kind is ResourceKind.ROUTE or self._is_replaced(change)):
            return f"{self._failed.kind} {self._failed.name} was not applied, and pulls need the one or the other"
        return None

    def needs_pause(self, change: EdgeChange) -> bool:
        """Whether the change removes what locations still use that do not have the changes before it."""
        needed = self._is_spreading and self._is_needed and self._is_replaced(change)
        self._is_spreading = self._is_spreading and not needed
        return needed

    def done(self, change: EdgeChange, *, succeeded: bool) -> None:
        """Records what became of a change."""
        if not succeeded:
            self._failed = self._failed or change
        elif change.kind in self._taking_over:
            self._is_spreading = True

    def _is_replaced(self, change: EdgeChange) -> bool:
        return change.action is EdgeAction.REMOVE and change.kind in self._replaced
