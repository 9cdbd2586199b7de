"""A plan, or what became of it, as text, markdown or a JSON document. Returns strings and dicts, prints nothing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, assert_never

from reconciler.apply.outcome import Done, Failed, NotMirrored, Skipped
from reconciler.cli.render.blocks import COMMENT_LIMIT, FOLD_AFTER, Block, code, escaped, fitted
from reconciler.cli.render.sheet import EMPTY, WIDE, Grid, Line, bold, rendered
from reconciler.plan.cost.prices import PRICED, class_a, class_b, month, share
from reconciler.plan.diff import Action, Change
from reconciler.plan.guards import held_back
from reconciler.target.garbage import Garbage, NotCollected
from reconciler.words import count, plain, size_words, time_words

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    from reconciler.apply.outcome import Event, Outcome, Took
    from reconciler.cli.render.sheet import Part
    from reconciler.oci.spec import Descriptor, Digest
    from reconciler.plan.plan import Plan, RepositoryPlan
    from reconciler.sources.quota import Spending
    from reconciler.target.index import TagState

SIGNS = {Action.ADD: "+", Action.UPDATE: "~", Action.PRUNE: "-"}
STYLES = {Action.ADD: "green", Action.UPDATE: "yellow", Action.PRUNE: "red"}
SHARED_SHOWN = 3
"""Repositories that are named with an error that several have."""

STANDING_SHOWN = 10
"""Tags of one repository that do not change and are named all the same."""

UNREAD_SHOWN = 10
"""Images that are named where their sizes are not known."""


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
    """As in `Plan: 1 to add, 1 to update, 0 to prune; 11 unchanged.`"""
    counts = plan.counts
    line = (
        "No changes"
        if not plan.has_changes
        else (f"Plan: {counts['add']} to add, {counts['update']} to update, {counts['prune']} to prune")
    )
    errors = f"; {count(counts['errors'], 'repository', 'repositories')} with errors" if counts["errors"] else ""
    warnings = f"; {count(len(plan.all_warnings), 'warning')}" if plan.all_warnings else ""
    return f"{line}; {counts['unchanged']} unchanged{errors}{warnings}."


def figure_lines(plan: Plan) -> Iterator[str]:
    """What the plan takes, as far as it was asked and is known, and what that leaves out."""
    yield from _quota_lines(plan)
    yield from _size_lines(plan)
    if plan.spendings or plan.sizes:
        yield from _left_out(plan)


def _left_out(plan: Plan) -> Iterator[str]:
    """A line for each setting that brings more along than the manifests and blobs of the images themselves."""
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
    """As in `17 pulls; docker.io has 76 of 100 left, counted over 6 h`."""
    number = count(spending.pulls, "pull")
    return f"{number if spending.exact else f'about {number}, or more once indexes are read'}; {spending.quota}"


def _size_lines(plan: Plan) -> Iterator[str]:
    """What the plan moves, asks for and costs, where that was asked."""
    sizes = plan.sizes
    if sizes is None:
        return
    copied = f", copies {size_words(sizes.copied)} within the bucket" if sizes.copied else ""
    yield (
        f"Sizes: downloads {size_words(sizes.downloaded)} ({count(sizes.blobs, 'blob')}, "
        f"{count(sizes.manifests, 'manifest')}), uploads {size_words(sizes.uploaded)}{copied}."
    )
    retired = f", with {count(sizes.retired, 'retired digest')} not collected yet" if sizes.retired else ""
    yield f"Stored: {size_words(sizes.before)} now, {size_words(sizes.after)} after{retired}."
    if sizes.requests is not None:
        yield from _request_lines(sizes.requests)
        if sizes.priced:
            yield from _cost_lines(sizes.after, sizes.requests)
    for one in sizes.unread[:UNREAD_SHOWN]:
        yield f"! {one.target}:{one.tag} is not in these sizes: {one.reason}"
    if len(sizes.unread) > UNREAD_SHOWN:
        yield f"! ... and {len(sizes.unread) - UNREAD_SHOWN} more; --format json has all of them."


def _request_lines(requests: Mapping[str, int]) -> Iterator[str]:
    kinds = ", ".join(f"{number} {kind}" for kind, number in requests.items() if number)
    yield f"Requests: {class_a(requests)} of class A, {class_b(requests)} of class B ({kinds})."


def _cost_lines(stored: int, requests: Mapping[str, int]) -> Iterator[str]:
    bill, part = month(stored, requests), share(stored, requests)
    yield (
        f"A month at R2's list prices of {PRICED}, with one such run: {dollars(bill.total)} (storage "
        f"{dollars(bill.storage)}, class A {dollars(bill.class_a)}, class B {dollars(bill.class_b)}); "
        f"{dollars(part.total)} of a bill that is beyond the free tier anyway."
    )


def dollars(amount: float) -> str:
    """As in `$4.50`; what is less than a cent is not nothing."""
    return "under $0.01" if 0 < amount < 0.01 else f"${amount:.2f}"


def outcome_line(outcome: Outcome, *, color: bool = False, width: int = WIDE) -> str:
    """What became of one tag, e.g. `+ library/alpine:3.20  added  sha256:aaaaaaaaaaaa`."""
    words, style = _outcome_words(outcome)
    sign = SIGNS[outcome.change.action] if isinstance(outcome, Done) else "!"
    name = f"{sign} {outcome.target}:{outcome.change.tag}"
    if color:
        return rendered([Line((name, style), f"  {words}")], color=color, width=width)
    return f"{plain(f'{name}  {words}')}\n"


def closing_text(
    plan: Plan, events: Sequence[Event], took: Took, *, interrupted: bool, color: bool = False, width: int = WIDE
) -> str:
    """What `outcome_line` does not tell: prunes that were held back, garbage that went with it, then the summary."""
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
    """Whether it is one of many of which the same is said: prunes that were not done, for one reason."""
    return isinstance(outcome, Skipped) and outcome.change.action is Action.PRUNE


def outcome_summary(plan: Plan, events: Sequence[Event], took: Took, *, interrupted: bool) -> str:
    """The whole truth in one line, e.g. `Applied: 3 added, 0 updated, 1 pruned; 3.4 MiB in 12 s.`"""
    outcomes = [event for event in events if isinstance(event, Done | Failed | Skipped)]
    done = Counter(outcome.change.action for outcome in outcomes if isinstance(outcome, Done))
    troubled = sum(bool(repository.troubles) for repository in plan.repositories)
    dirty = sum(isinstance(event, NotCollected) for event in events)
    wrong = [
        (sum(isinstance(outcome, Failed) for outcome in outcomes), "failed"),
        (sum(isinstance(outcome, Skipped) for outcome in outcomes), "skipped"),
        (troubled, f"{'repository' if troubled == 1 else 'repositories'} with errors"),
        (dirty, f"{'repository' if dirty == 1 else 'repositories'} with garbage that could not be removed"),
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
        "garbage": [garbage_entry(one, keys=False) for one in swept(events)],
        "summary": summary,
        "bytes": took.size,
        "seconds": round(took.seconds, 3),
        "interrupted": interrupted,
    }


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
        for sign, tag, words in (*_gone_rows(one), *_left_out_rows(one))
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
            fold=f"{count(len(standing), 'tag')} gone at the source or left out" if len(standing) > FOLD_AFTER else "",
        ),
        Block(tallies, bullet="- ", fold="What each pattern chooses"),
    )


_TABLE = ("| | image | change |", "| --- | --- | --- |")


def _heading(repository: RepositoryPlan) -> Line:
    return Line((repository.target, "bold"), f"  from {repository.source}")


def _changes_table(repository: RepositoryPlan) -> Grid:
    table = Grid()
    for change in repository.changes:
        style = STYLES[change.action]
        table.row(
            (f"  {SIGNS[change.action]} {change.tag}", style),
            _digests(change),
            _remark(change),
        )
    for one in repository.refused:
        table.row((f"  ! {one.tag}", "bold red"), _shown(one.digest), f"refused: {one.why}")
    return table


def _standing(repository: RepositoryPlan) -> Iterator[Part]:
    """The tags that do not change although the source has changed: a line each, the first `STANDING_SHOWN` of them."""
    rows = [*_gone_rows(repository), *_left_out_rows(repository)]
    table = Grid()
    for sign, tag, words in rows[:STANDING_SHOWN]:
        table.row(f"  {sign} {tag}", words)
    if rows:
        yield table
    if len(rows) > STANDING_SHOWN:
        more = len(rows) - STANDING_SHOWN
        yield Line((f"    ... and {more} more such tags; --format json has all of them", "dim"))


def _gone_rows(repository: RepositoryPlan) -> Iterator[tuple[str, str, str]]:
    for tag, since in (repository.gone or {}).items():
        yield "=", tag, f"kept: gone at the source since {since:%Y-%m-%d}"


def _left_out_rows(repository: RepositoryPlan) -> Iterator[tuple[str, str, str]]:
    for tag, one in (repository.left_out or {}).items():
        yield "!", tag, f"left out: {one.reason}"


def shared_words(plan: Plan) -> Iterator[str]:
    """The errors that several repositories have, each once, with whose they are."""
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


def _digests(change: Change) -> str:
    before, after = change.before, change.after
    if before and after and before.digest != after.digest:
        return f"{_short(before)} -> {_short(after)}"
    known = after or before
    return _short(known) if known else ""


def _remark(change: Change) -> str:
    """Why it changes, where the digests do not tell, and what is known of its signature."""
    return "; ".join(str(part) for part in (change.reason, change.signature) if part)


def _short(state: TagState | Descriptor) -> str:
    return _shown(state.digest)


def _shown(digest: Digest) -> str:
    return f"{digest.algorithm}:{digest.hex[:12]}"


def _outcome_words(outcome: Outcome) -> tuple[str, str]:
    match outcome:
        case Done(change=change):
            done = {Action.ADD: "added", Action.UPDATE: "updated", Action.PRUNE: "pruned"}[change.action]
            return f"{done}  {_digests(change)}", STYLES[change.action]
        case Failed(error=error):
            return f"failed: {error}", "bold red"
        case Skipped(reason=reason):
            return f"skipped: {reason}", "magenta"
        case _:
            assert_never(outcome)


def swept(events: Iterable[object]) -> list[Garbage | NotCollected]:
    """The repositories where there is something to tell of garbage; digests that only ran out are not."""
    return [
        one
        for one in events
        if isinstance(one, NotCollected) or (isinstance(one, Garbage) and (one.objects or one.uploads))
    ]


def garbage_line(one: Garbage | NotCollected, verb: str) -> Line:
    """As in `library/alpine: 3 unreachable objects removed, 3.4 MiB`."""
    if isinstance(one, NotCollected):
        return Line((f"! {one.target}: no garbage removed: {one.error}", "bold red"))
    uploads = f" and {count(len(one.uploads), 'unfinished upload')}" if one.uploads else ""
    return Line(f"{one.target}: {count(one.objects, 'unreachable object')}{uploads} {verb}, {size_words(one.size)}")


def garbage_entry(one: Garbage | NotCollected, *, keys: bool) -> dict[str, Any]:
    """One repository as `schema/gc.schema.json` and `schema/outcome.schema.json` have it."""
    if isinstance(one, NotCollected):
        return {"target": one.target, "objects": 0, "uploads": 0, "bytes": 0, "error": one.error}
    entry = {
        "target": one.target,
        "objects": one.objects,
        "uploads": len(one.uploads),
        "bytes": one.size,
        "error": None,
    }
    return entry | ({"keys": [str(key) for step in one.steps() for key in step]} if keys else {})


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
            return outcome.change.reason
        case Failed(error=reason) | Skipped(reason=reason):
            return reason
        case _:
            assert_never(outcome)


def troubles(plan: Plan) -> tuple[str, ...]:
    """Everything that went wrong, a sentence each; what several repositories have once."""
    shared = plan.shared_errors
    own = (one for repository in plan.repositories for one in repository.troubles if one not in shared)
    return (*shared_words(plan), *own)


def _troubles(plan: Plan) -> Iterator[str]:
    yield from shared_words(plan)
    shared = plan.shared_errors
    for repository in plan.repositories:
        for trouble in repository.troubles:
            if trouble not in shared:
                yield trouble if trouble.startswith(repository.target) else f"{repository.target}: {trouble}"


def _markdown_row(repository: RepositoryPlan, change: Change) -> str:
    reason = f" ({escaped(_remark(change))})" if _remark(change) else ""
    image = f"{repository.target}:{change.tag}"
    return f"| `{SIGNS[change.action]}` | `{image}` | {change.action} {_digests(change)}{reason} |"
