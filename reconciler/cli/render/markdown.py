"""A plan as a pull-request comment, and in every format: `PLAN`. Prints nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler.cli.render.blocks import COMMENT_LIMIT, FOLD_AFTER, Block, code, escaped, fitted
from reconciler.cli.render.changes import SIGNS, digests_words, remark
from reconciler.cli.render.formats import View
from reconciler.cli.render.plan import (
    figure_lines,
    gone_rows,
    held_rows,
    left_out_rows,
    plan_text,
    shared_words,
    summary_line,
    waiting_rows,
)
from reconciler.plan.diff import Action, Change
from reconciler.plan.guards import held_back
from reconciler.plan.plan_json import plan_document
from reconciler.words import count

if TYPE_CHECKING:
    from reconciler.plan.plan import Plan, RepositoryPlan


def plan_markdown(plan: Plan, limit: int = COMMENT_LIMIT) -> str:
    """The plan as a pull-request comment of at most `limit` characters, whatever its size."""
    return fitted(plan_blocks(plan), limit)


def plan_blocks(plan: Plan) -> tuple[Block, ...]:
    """The parts of a plan's comment. Prunes come first and are never folded: they are what a reviewer must not miss."""
    prunes: list[str] = []
    others: list[str] = []
    for repository in plan.repositories:
        for change in repository.changes:
            rows = prunes if change.action is Action.PRUNE else others
            rows.append(_markdown_row(repository, change))
    troubles = [
        *(f"- :x: {escaped(trouble)}" for trouble in _troubles(plan)),
        *(f"- :warning: {escaped(warning)}" for warning in plan.all_warnings),
    ]
    tallies = [
        f"- {one.target}: {code(tally.pattern)}: {count(tally.chosen, 'tag')}"
        for one in plan.repositories
        for tally in one.tallies
    ]
    standing = [
        f"| `{sign}` | `{one.target}:{tag}` | {escaped(words)} |"
        for one in plan.repositories
        for sign, tag, words in (*held_rows(one), *waiting_rows(one), *gone_rows(one), *left_out_rows(one))
    ]
    return (
        Block([f"**:no_entry: {escaped(reason)}**" for reason in held_back(plan)]),
        Block([f"**{summary_line(plan)}**"]),
        Block([f"- {escaped(line)}" for line in figure_lines(plan)], bullet="- "),
        Block(troubles, bullet="- "),
        Block([f"- {escaped(note)}" for note in plan.notes], bullet="- "),
        Block(prunes, _TABLE),
        Block(
            others,
            _TABLE,
            fold=count(len(others), "addition or update", "additions and updates") if len(others) > FOLD_AFTER else "",
        ),
        Block(
            standing,
            _TABLE,
            fold=f"{count(len(standing), 'tag')} held, waiting, gone at the source or left out"
            if len(standing) > FOLD_AFTER
            else "",
        ),
        Block(tallies, bullet="- ", fold="What each pattern chooses"),
    )


_TABLE = ("| | image | change |", "| --- | --- | --- |")


def _troubles(plan: Plan) -> Iterator[str]:
    yield from shared_words(plan)
    shared = plan.shared_errors
    for repository in plan.repositories:
        for trouble in repository.troubles:
            if trouble not in shared:
                yield trouble if trouble.startswith(repository.target) else f"{repository.target}: {trouble}"


def _markdown_row(repository: RepositoryPlan, change: Change) -> str:
    reason = f" ({escaped(remark(change))})" if remark(change) else ""
    image = f"{repository.target}:{change.tag}"
    return f"| `{SIGNS[change.action]}` | `{image}` | {change.action} {digests_words(change)}{reason} |"


def _is_news(plan: Plan) -> bool:
    return bool(plan.has_changes or plan.all_warnings or any(one.troubles for one in plan.repositories))


PLAN: View[Plan] = View(plan_text, plan_document, plan_markdown, _is_news)
