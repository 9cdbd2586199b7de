"""A plan as text. Prints nothing."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import TYPE_CHECKING

from reconciler.cli.render.changes import SIGNS, STYLES, digests_words, remark, short_digest
from reconciler.cli.render.sheet import EMPTY, WIDE, Grid, Line, bold, rendered
from reconciler.plan.ages import moment
from reconciler.plan.diff import Action
from reconciler.plan.guards import held_back
from reconciler.words import count

if TYPE_CHECKING:
    from reconciler.cli.render.sheet import Part
    from reconciler.plan.plan import Plan, RepositoryPlan
    from reconciler.sources.quota import Spending


SHARED_SHOWN = 3
"""How many repositories are named with an error that they share."""

STANDING_SHOWN = 10
"""How many tags of a repository are named that stay although the source has changed."""


def plan_text(plan: Plan, *, color: bool = False, width: int = WIDE) -> str:
    """The plan for people: a block for each repository with changes or an error, then the summary in one line."""
    held, shared = held_back(plan), plan.shared_errors
    parts: list[Part] = [Line((f"! {reason}", "bold red")) for reason in held]
    parts += [EMPTY] if held else []
    for repository in plan.repositories:
        standing = [*_standing(repository)]
        has_own_error = repository.error is not None and repository.error not in shared
        if repository.changes or has_own_error or repository.refused or repository.warnings or standing:
            table = [_changes_table(repository)] if repository.changes or repository.refused else []
            parts += [_heading(repository), *table, *standing, *_remarks(repository, shared), EMPTY]
    parts += [Line((f"! {words}", "bold red")) for words in shared_words(plan)]
    parts += [Line((f"! warning: {warning}", "yellow")) for warning in plan.warnings]
    parts += [Line((note, "dim")) for note in plan.notes]
    parts.append(bold(summary_line(plan)))
    parts += [Line(line) for line in figure_lines(plan)]
    return rendered(parts, color=color, width=width)


def summary_line(plan: Plan) -> str:
    """Counts the changes, e.g. `Plan: 1 to add, 1 to update, 0 to prune; 11 unchanged.`"""
    counts = plan.counts
    line = (
        "No changes"
        if not plan.has_changes
        else (f"Plan: {counts['add']} to add, {counts['update']} to update, {counts['prune']} to prune")
    )
    errors = f"; {count(counts['errors'], 'repository', 'repositories')} with errors" if counts["errors"] else ""
    warnings = f"; {count(len(plan.all_warnings), 'warning')}" if plan.all_warnings else ""
    waiting = f"; {counts['waiting']} waiting" if "waiting" in counts else ""
    return f"{line}; {counts['unchanged']} unchanged{waiting}{errors}{warnings}."


def figure_lines(plan: Plan) -> Iterator[str]:
    """The pulls, sizes and costs of the plan, where they were estimated, and what they leave out."""
    yield from _quota_lines(plan)
    if plan.sizes:
        # Imported here, with the prices: most plans are made without sizes.
        from reconciler.cli.render.sizes import size_lines

        yield from size_lines(plan.sizes)
    if plan.spendings or plan.sizes:
        yield from _left_out(plan)


def _left_out(plan: Plan) -> Iterator[str]:
    """A line for each setting that transfers more than the images' own manifests and blobs."""
    changing = [(one, one.of(Action.ADD, Action.UPDATE)) for one in plan.repositories]
    following = {
        "referrers: true": [one.target for one, images in changing if images and one.referrers],
        "signed_by": [one.target for one, images in changing if any(image.signature for image in images)],
    }
    for setting, targets in following.items():
        if targets:
            where = targets[0] if len(targets) == 1 else f"{len(targets)} repositories"
            yield f"! Not in these figures: what {setting} reads and brings along, for {where}."


def _quota_lines(plan: Plan) -> Iterator[str]:
    """A line for each registry that counts what the plan fetches from it."""
    for spending in plan.spendings:
        enough = "" if spending.fits else "; what does not fit is left for another run, or --wait-for-quota waits"
        yield f"Pulls: apply needs {pulls_words(spending)}{enough}."


def pulls_words(spending: Spending) -> str:
    """Writes e.g. `17 pulls; docker.io has 76 of 100 left, counted over 6 h`."""
    number = count(spending.pulls, "pull")
    return f"{number if spending.exact else f'about {number}, or more once indexes are read'}; {spending.quota}"


def _heading(repository: RepositoryPlan) -> Line:
    return Line((repository.target, "bold"), f"  from {repository.source}")


def _changes_table(repository: RepositoryPlan) -> Grid:
    table = Grid()
    for change in repository.changes:
        style = STYLES[change.action]
        table.row(
            (f"  {SIGNS[change.action]} {change.tag}", style),
            digests_words(change),
            remark(change),
        )
    for one in repository.refused:
        table.row((f"  ! {one.tag}", "bold red"), short_digest(one.digest), f"refused: {one.why}")
    return table


def _standing(repository: RepositoryPlan) -> Iterator[Part]:
    """The tags that do not change although the source has changed: a line each, the first `STANDING_SHOWN` of them."""
    rows = [*held_rows(repository), *waiting_rows(repository), *gone_rows(repository), *left_out_rows(repository)]
    table = Grid()
    for sign, tag, words in rows[:STANDING_SHOWN]:
        table.row(f"  {sign} {tag}", words)
    if rows:
        yield table
    if len(rows) > STANDING_SHOWN:
        more = len(rows) - STANDING_SHOWN
        yield Line((f"    ... and {more} more such tags; --format json has all of them", "dim"))


def held_rows(repository: RepositoryPlan) -> Iterator[tuple[str, str, str]]:
    for tag, one in repository.held.items():
        digest = short_digest(one.digest) if one.digest else "removed"
        yield "=", tag, f"held by {one.cause}: {digest}, since {one.since:%Y-%m-%d %H:%M} UTC"
    for tag, one in repository.released.items():
        yield "=", tag, f"no longer held by {one.cause}: its entry in mirrors.yaml was edited"


def waiting_rows(repository: RepositoryPlan) -> Iterator[tuple[str, str, str]]:
    """The tags whose digests are not old enough, and until when they wait."""
    for one in repository.ages.waiting:
        since = moment(one.since)
        if one.until:
            yield ".", one.tag, f"waits until {moment(one.until)} (first seen {since})"
        else:
            allow = f"--now {repository.target}:{one.tag}"
            yield (
                "!",
                one.tag,
                f"not published: left the tag before its time (first seen {since}); {allow} publishes it",
            )


def gone_rows(repository: RepositoryPlan) -> Iterator[tuple[str, str, str]]:
    for tag, since in (repository.gone or {}).items():
        yield "=", tag, f"kept: gone at the source since {since:%Y-%m-%d}"


def left_out_rows(repository: RepositoryPlan) -> Iterator[tuple[str, str, str]]:
    for tag, one in (repository.left_out or {}).items():
        yield "!", tag, f"left out: {one.reason}"


def shared_words(plan: Plan) -> Iterator[str]:
    """Each error that several repositories share, once, with their names."""
    for error, targets in plan.shared_errors.items():
        more = ("...",) if len(targets) > SHARED_SHOWN else ()
        names = ", ".join((*targets[:SHARED_SHOWN], *more))
        yield f"{error} ({count(len(targets), 'repository', 'repositories')}: {names})"


def _remarks(repository: RepositoryPlan, said: Container[str]) -> Iterator[Line]:
    if repository.unchanged:
        yield Line((f"    {repository.unchanged} unchanged", "dim"))
    if repository.error and repository.error not in said:
        yield Line((f"  ! {repository.error}", "bold red"))
    for warning in repository.warnings:
        yield Line((f"  ! warning: {warning}", "yellow"))


def troubles(plan: Plan) -> tuple[str, ...]:
    """Everything that went wrong, a sentence each; errors that repositories share once."""
    shared = plan.shared_errors
    own = (one for repository in plan.repositories for one in repository.troubles if one not in shared)
    return (*shared_words(plan), *own)
