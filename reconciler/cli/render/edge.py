"""An edge's plan, or what became of it, as text or a JSON document. Prints nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, assert_never

from reconciler.cli.render.formats import View
from reconciler.cli.render.sheet import EMPTY, WIDE, Line, bold, rendered
from reconciler.edge.apply import Applied, NotTried, Rejected
from reconciler.edge.plan import EdgeAction, ResourceKind

if TYPE_CHECKING:
    from reconciler.cli.render.sheet import Part
    from reconciler.edge.apply import EdgeOutcome
    from reconciler.edge.plan import EdgeChange, EdgePlan

SIGNS = {EdgeAction.ADD: "+", EdgeAction.UPDATE: "~", EdgeAction.REMOVE: "-"}
STYLES = {EdgeAction.ADD: "green", EdgeAction.UPDATE: "yellow", EdgeAction.REMOVE: "red"}


def edge_plan_text(plan: EdgePlan, *, color: bool = False, width: int = WIDE) -> str:
    """Every change with what it says, then the summary in one line."""
    parts: list[Part] = []
    if plan.changes:
        heading = f"  bucket {plan.bucket}, zone {plan.zone.name}"
        parts.append(Line((plan.edge.hostname, "bold"), heading))
    for change in plan.changes:
        parts.append(Line((f"  {SIGNS[change.action]} {_title(change)}", STYLES[change.action])))
        parts += [Line(f"      {line}") for line in _details(change)]
        if change.name in plan.refused:
            parts.append(Line((f"      ! refused: {plan.refused[change.name]}", "bold red")))
    if plan.moves_domain:
        pause = f"no client can pull from {plan.edge.hostname} until its DNS record and certificate are the Worker's"
        parts.append(Line((f"  ! {pause}", "yellow")))
    if plan.pending:
        parts.append(Line((f"  ! {plan.edge.hostname} is not active yet: {plan.pending}", "yellow")))
    return rendered([*parts, *([EMPTY] if parts else []), bold(edge_summary(plan))], color=color, width=width)


def edge_summary(plan: EdgePlan) -> str:
    """Counts the changes, e.g. `Edge: 9 to add, 0 to update, 0 to remove; 1 unchanged.`"""
    counts = plan.counts
    if not plan.changes:
        return f"Edge: no changes; {plan.unchanged} unchanged."
    return (
        f"Edge: {counts['add']} to add, {counts['update']} to update, {counts['remove']} to remove; "
        f"{plan.unchanged} unchanged."
    )


def edge_outcome_text(outcomes: Sequence[EdgeOutcome], *, color: bool = False, width: int = WIDE) -> str:
    """What became of each change, then the summary in one line."""
    parts: list[Part] = []
    for outcome in outcomes:
        match outcome:
            case Applied(change):
                parts.append(Line((f"{SIGNS[change.action]} {_title(change)}", STYLES[change.action])))
            case Rejected(change, error):
                parts.append(Line((f"! {_title(change)}: failed: {error}", "bold red")))
            case NotTried(change, reason):
                parts.append(Line((f"! {_title(change)}: skipped: {reason}", "magenta")))
            case _:
                assert_never(outcome)
    done = [outcome.change.action for outcome in outcomes if isinstance(outcome, Applied)]
    left = len(outcomes) - len(done)
    words = ", ".join(f"{done.count(action)} {_PAST[action]}" for action in EdgeAction)
    line = f"Edge: {words}{f'; {left} not done' if left else ''}." if outcomes else "Edge: no changes."
    return rendered([*parts, *([EMPTY] if parts else []), bold(line)], color=color, width=width)


_PAST = {EdgeAction.ADD: "added", EdgeAction.UPDATE: "updated", EdgeAction.REMOVE: "removed"}


def edge_plan_document(plan: EdgePlan) -> dict[str, Any]:
    """A plan as `schema/edge.schema.json` has it."""
    planned = ({"status": "planned", "error": plan.refused.get(change.name)} for change in plan.changes)
    return _document(plan, [{**_entry(change), **one} for change, one in zip(plan.changes, planned, strict=True)])


def edge_outcome_document(plan: EdgePlan, outcomes: Sequence[EdgeOutcome]) -> dict[str, Any]:
    """What became of a plan as `schema/edge.schema.json` has it."""
    return _document(plan, [{**_entry(outcome.change), **_fate(outcome)} for outcome in outcomes])


def _document(plan: EdgePlan, changes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "version": 1,
        "hostname": plan.edge.hostname,
        "bucket": plan.bucket,
        "zone": {"id": plan.zone.id, "name": plan.zone.name},
        "changes": changes,
        "pending": plan.pending,
        "summary": {**plan.counts, "unchanged": plan.unchanged},
    }


def _entry(change: EdgeChange) -> dict[str, Any]:
    return {
        "action": change.action.value,
        "kind": change.kind.value,
        "name": change.name,
        "phase": change.phase.value if change.phase else None,
        "before": change.before,
        "after": change.after,
        "differences": list(change.differences()),
    }


def _fate(outcome: EdgeOutcome) -> dict[str, Any]:
    match outcome:
        case Applied():
            return {"status": "done", "error": None}
        case Rejected(error=error):
            return {"status": "failed", "error": error}
        case NotTried(reason=reason):
            return {"status": "skipped", "error": reason}
        case _:
            assert_never(outcome)


def _title(change: EdgeChange) -> str:
    """Names a change, e.g. `rule r2mirror_1a2b3c4d_ping  r2mirror cr.example.com: /v2/ answers 200`."""
    if change.kind is not ResourceKind.RULE:
        return f"{change.kind} {change.name}"
    said = change.after or change.before or {}
    return f"{change.kind} {change.name}  {said.get('description', '')}".rstrip()


def _details(change: EdgeChange) -> Iterator[str]:
    if change.action is EdgeAction.UPDATE:
        yield from change.differences()
    elif change.action is EdgeAction.ADD and change.after:
        if change.kind is ResourceKind.RULE:
            yield f"in {change.phase}"
            yield f"if {change.after['expression']}"
            yield f"then {json.dumps(change.after['action_parameters'])}"
        else:
            bindings = {f"bindings.{name}": one for name, one in change.after.get("bindings", {}).items()}
            told = {
                key: one for key, one in change.after.items() if one != change.name and key != "bindings"
            } | bindings
            yield from (f"{key}: {json.dumps(value)}" for key, value in told.items())


EDGE_PLAN: View[EdgePlan] = View(
    edge_plan_text, edge_plan_document, is_news=lambda plan: bool(plan.changes or plan.pending)
)


def edge_outcome_view(plan: EdgePlan) -> View[Sequence[EdgeOutcome]]:
    """The formats of what became of a plan."""
    return View(edge_outcome_text, partial(edge_outcome_document, plan), is_news=bool)
