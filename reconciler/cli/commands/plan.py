"""`r2mirror plan`, and what it shares with `apply`: printing a plan."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.console import (
    MIRRORS,
    AllowPruneOption,
    DetailedOption,
    FileOption,
    Format,
    FormatOption,
    OnlyOption,
    StrictOption,
    TimeoutOption,
    VerboseOption,
    load,
    note,
    show,
    show_json_text,
    terminal,
)
from reconciler.errors import UsageError
from reconciler.work.deadline import Deadline

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.plan.plan import Plan
    from reconciler.target.ledger import Observed


def plan(
    file: FileOption = MIRRORS,
    only: OnlyOption = None,
    output: FormatOption = Format.TEXT,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="PLAN", help="Also save the plan, for `r2mirror apply PLAN`.")
    ] = None,
    detailed_exitcode: DetailedOption = False,
    recheck: Annotated[
        bool,
        typer.Option(
            "--recheck", help="Ask for immutable and pinned tags too, and check the signatures of what is mirrored."
        ),
    ] = False,
    sizes: Annotated[
        bool, typer.Option("--sizes", help="Read the new manifests too, and say what apply moves, asks for and costs.")
    ] = False,
    allow_prune: AllowPruneOption = False,
    strict: StrictOption = False,
    timeout: TimeoutOption = None,
    _verbose: VerboseOption = 0,
) -> int:
    """Show what apply would do. Reads only: writes nothing and, without --sizes, spends no Docker Hub pull.

    With --sizes it fetches the manifests of what is new, which Docker Hub counts as pulls; a plan saved with --out
    holds them, and apply does not fetch them again.
    """
    from reconciler.cli.progress import waiting
    from reconciler.cli.render.plan import summary_line
    from reconciler.plan.connections import connect
    from reconciler.plan.files import check_place, manifests_in, save
    from reconciler.plan.make import make
    from reconciler.plan.sizes import with_sizes

    mirrors = load(file)
    if out:
        check_place(out)
    with connect(mirrors, os.environ, deadline=Deadline(timeout)) as connections:
        found = make(mirrors, connections, only or (), recheck=recheck, allow_prune=allow_prune, stage=waiting)
        made = found.plan
        if sizes:
            if out is None:
                _refuse_to_spend(made)
            made = with_sizes(found, mirrors, connections, manifests_in(out) if out else None, waiting)
    if out:
        save(made, out)
        note(f"saved {out}: {summary_line(made)} `r2mirror apply {out}` does exactly this")
    show_plan(made, output)
    _say_what_is_public(mirrors, found.observed)
    if failing(made, strict=strict) or (made.sizes and made.sizes.unread):
        return 1
    return 2 if detailed_exitcode and made.has_changes else 0


def failing(made: Plan, *, strict: bool) -> bool:
    """Whether an apply of the plan ends with 1 as far as can be told: errors, prunes that are held back, warnings."""
    from reconciler.plan.guards import held_back

    return bool(made.counts["errors"] or held_back(made) or (strict and made.all_warnings))


def _refuse_to_spend(made: Plan) -> None:
    """Raises `UsageError` where the manifests would have to be paid for twice, now and by the apply."""
    from reconciler.cli.render.plan import pulls_words

    for spending in made.spendings:
        if spending.pulls:
            raise UsageError(
                f"--sizes has to fetch manifests, and {spending.quota.registry} counts those: {pulls_words(spending)}. "
                "Add --out PLAN: the plan then holds them, and `r2mirror apply PLAN` does not fetch them again"
            )


def show_plan(made: Plan, output: Format) -> None:
    from reconciler.cli.render.plan import plan_markdown, plan_text
    from reconciler.plan.plan_json import serialise_plan

    match output:
        case Format.TEXT:
            show(plan_text(made, **terminal(sys.stdout)))
        case Format.MARKDOWN:
            show(plan_markdown(made))
        case Format.JSON:
            show_json_text(serialise_plan(made))


def _say_what_is_public(mirrors: Mirrors, observed: Observed) -> None:
    """Once, before the first apply: the mirror index is readable wherever the bucket is."""
    from reconciler.target.layout import MIRROR_INDEX

    store = mirrors.store
    if observed.etag or not store.shows_state or not store.public_url:
        return
    note(
        f"note: {store.public_url}/{MIRROR_INDEX} will be public like the rest of the bucket: it holds names and "
        "digests, no secret. store.state_bucket keeps it in another bucket."
    )
