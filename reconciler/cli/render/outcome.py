"""What became of a plan, as text or a JSON document. Prints nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, assert_never

from reconciler.apply.outcome import Done, Failed, ImmutableTagMoved, NotMirrored, Skipped
from reconciler.cli.render.blocks import Block, escaped, fitted
from reconciler.cli.render.changes import SIGNS, STYLES, digests_words, why
from reconciler.cli.render.formats import View
from reconciler.cli.render.garbage import garbage_entry, garbage_line, swept
from reconciler.cli.render.sheet import EMPTY, WIDE, Line, bold, rendered
from reconciler.plan.diff import Action
from reconciler.target.removable import NotCollected
from reconciler.words import count, plain, size_words, time_words

if TYPE_CHECKING:
    from reconciler.apply.outcome import Event, Outcome, Took
    from reconciler.cli.render.sheet import Part
    from reconciler.plan.plan import Plan


def outcome_line(outcome: Outcome, *, color: bool = False, width: int = WIDE) -> str:
    """What became of one tag, e.g. `+ library/alpine:3.20  added  sha256:aaaaaaaaaaaa`."""
    words, style = _outcome_words(outcome)
    name = f"{_sign(outcome)} {outcome.target}:{outcome.change.tag}"
    if color:
        return rendered([Line((name, style), f"  {words}")], color=color, width=width)
    return f"{plain(f'{name}  {words}')}\n"


def closing_text(
    plan: Plan, events: Sequence[Event], took: Took, *, interrupted: bool, color: bool = False, width: int = WIDE
) -> str:
    """What comes after the lines of the tags: prunes that were held back, removed garbage, then the summary."""
    outcomes = [event for event in events if isinstance(event, Done | Failed | Skipped)]
    held = Counter(_reason(one) for one in outcomes if is_held_back(one))
    parts: list[Part] = [
        Line((f"! {count(number, 'prune')} skipped", "magenta"), f"  {reason}") for reason, number in held.items()
    ]
    parts += [garbage_line(one, "removed") for one in swept(events)]
    summary = outcome_summary(plan, events, took, interrupted=interrupted)
    if not (outcomes or parts or color):
        return f"{summary}\n"
    return rendered([*parts, EMPTY, bold(summary)], color=color, width=width)


def is_held_back(outcome: Outcome) -> bool:
    """Whether a prune was not done. Many are held back for one reason, which is reported once."""
    return isinstance(outcome, Skipped) and outcome.change.action is Action.PRUNE


def outcome_summary(plan: Plan, events: Sequence[Event], took: Took, *, interrupted: bool) -> str:
    """Summarizes a run in one line, e.g. `Applied: 3 added, 0 updated, 1 pruned; 3.4 MiB in 12 s.`"""
    outcomes = [event for event in events if isinstance(event, Done | Failed | Skipped)]
    done = Counter(outcome.change.action for outcome in outcomes if isinstance(outcome, Done))
    troubled = sum(bool(repository.troubles) for repository in plan.repositories)
    dirty = sum(isinstance(event, NotCollected) for event in events)
    wrong = [
        (sum(isinstance(outcome, Failed) for outcome in outcomes), "failed"),
        (sum(isinstance(outcome, Skipped) for outcome in outcomes), "skipped"),
        (troubled, f"{'repository' if troubled == 1 else 'repositories'} with errors"),
        (dirty, f"{'repository' if dirty == 1 else 'repositories'} with garbage that could not be removed"),
        (plan.counts.get("waiting", 0), "waiting"),
        (len(plan.all_warnings), "warning" if len(plan.all_warnings) == 1 else "warnings"),
    ]
    rest = "".join(f"; {number} {what}" for number, what in wrong if number)
    if not events and not troubled and not interrupted:
        return f"Nothing to do{rest}."
    line = f"{done[Action.ADD]} added, {done[Action.UPDATE]} updated, {done[Action.PRUNE]} pruned{rest}"
    line += f"; {size_words(took.size)} in {time_words(took.seconds)}"
    if interrupted:
        return f"Interrupted: {line}. All of it is recorded; run apply again to go on."
    return f"Applied: {line}."


def outcome_markdown(plan: Plan, events: Sequence[Event], took: Took, *, interrupted: bool) -> str:
    """What became of a plan, for the summary of a CI run: failures first, then what was done."""
    outcomes = [event for event in events if isinstance(event, Done | Failed | Skipped) and not is_held_back(event)]
    rows = [
        f"| `{_sign(one)}` | `{one.target}:{one.change.tag}` | {escaped(_outcome_words(one)[0])} |"
        for one in sorted(outcomes, key=lambda one: isinstance(one, Done))
    ]
    held = Counter(_reason(event) for event in events if isinstance(event, Skipped) and is_held_back(event))
    troubles = [
        *(f"- :x: {escaped(trouble)}" for one in plan.repositories for trouble in one.troubles),
        *(f"- :warning: {escaped(warning)}" for warning in plan.all_warnings),
        *(f"- {count(number, 'prune')} skipped: {escaped(str(reason))}" for reason, number in held.items()),
    ]
    summary = escaped(outcome_summary(plan, events, took, interrupted=interrupted))
    elsewhere = "the output of the run has all of them"
    return fitted(
        (
            Block([f"**{summary}**"]),
            Block(troubles, bullet="- ", elsewhere=elsewhere),
            Block(rows, ("| | image | outcome |", "| --- | --- | --- |"), elsewhere=elsewhere),
        )
    )


def _sign(outcome: Outcome) -> str:
    return SIGNS[outcome.change.action] if isinstance(outcome, Done) else "!"


def outcome_document(plan: Plan, events: Sequence[Event], took: Took, *, interrupted: bool) -> dict[str, Any]:
    """What became of a plan as `schema/outcome.schema.json` has it."""
    outcomes = [event for event in events if isinstance(event, Done | Failed | Skipped)]
    entries = [
        {
            "target": outcome.target,
            "action": outcome.change.action.value,
            "tag": outcome.change.tag,
            "before": str(outcome.change.before.digest) if outcome.change.before else None,
            "after": str(outcome.change.after.digest) if outcome.change.after else None,
            "status": _status(outcome),
            "reason": _reason(outcome),
            "bytes": outcome.took.size if isinstance(outcome, Done) else 0,
            "seconds": round(outcome.took.seconds, 3) if isinstance(outcome, Done) else 0,
        }
        for outcome in outcomes
    ]
    counts = Counter(entry["status"] for entry in entries)
    summary = {status: counts[status] for status in ("done", "failed", "skipped")}
    errors = [
        {"target": repository.target, "error": trouble}
        for repository in plan.repositories
        for trouble in repository.troubles
    ]
    moved = [
        {"target": one.target, "tag": one.tag, "before": str(one.before), "after": str(one.after)}
        for one in events
        if isinstance(one, ImmutableTagMoved)
    ]
    return {
        "version": 1,
        "outcomes": entries,
        "errors": errors,
        "warnings": list(plan.all_warnings),
        "left_out": [
            {"target": one.target, "tag": one.tag, "reason": one.reason}
            for one in events
            if isinstance(one, NotMirrored)
        ],
        **({"moved": moved} if moved else {}),
        **({"waiting": plan.counts["waiting"]} if "waiting" in plan.counts else {}),
        "garbage": [garbage_entry(one, keys=False) for one in swept(events)],
        "summary": summary,
        "bytes": took.size,
        "seconds": round(took.seconds, 3),
        "interrupted": interrupted,
    }


def _outcome_words(outcome: Outcome) -> tuple[str, str]:
    match outcome:
        case Done(change=change):
            done = {Action.ADD: "added", Action.UPDATE: "updated", Action.PRUNE: "pruned"}[change.action]
            kept = f"; {outcome.kept}" if outcome.kept else ""
            return f"{done}  {digests_words(change)}{kept}", STYLES[change.action]
        case Failed(error=error):
            return f"failed: {error}", "bold red"
        case Skipped(reason=reason):
            return f"skipped: {reason}", "magenta"
        case _:
            assert_never(outcome)


def _status(outcome: Outcome) -> str:
    match outcome:
        case Done():
            return "done"
        case Failed():
            return "failed"
        case Skipped():
            return "skipped"
        case _:
            assert_never(outcome)


def _reason(outcome: Outcome) -> str | None:
    match outcome:
        case Done():
            return outcome.kept or why(outcome.change)
        case Failed(error=reason) | Skipped(reason=reason):
            return reason
        case _:
            assert_never(outcome)


def outcome_view(plan: Plan, took: Took, *, interrupted: bool) -> View[Sequence[Event]]:
    """The formats of what became of a plan. As text only the closing part: `outcome_line` wrote the tags."""
    rest: dict[str, Any] = {"took": took, "interrupted": interrupted}

    def is_news(events: Sequence[Event]) -> bool:
        troubled = any(repository.troubles for repository in plan.repositories)
        # An image that is left out is so in each run.
        happened = any(not isinstance(event, NotMirrored) for event in events)
        return bool(interrupted or happened or troubled or plan.all_warnings)

    return View(
        partial(closing_text, plan, **rest),
        partial(outcome_document, plan, **rest),
        partial(outcome_markdown, plan, **rest),
        is_news,
    )
