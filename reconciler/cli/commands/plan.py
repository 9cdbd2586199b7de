"""`r2mirror plan`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.console import note
from reconciler.cli.inputs import load
from reconciler.cli.options import (
    MIRRORS,
    AllowPruneOption,
    DetailedOption,
    FileOption,
    FormatOption,
    OnlyOption,
    StrictOption,
    TimeoutOption,
    VerboseOption,
)
from reconciler.cli.progress import waiting
from reconciler.cli.render.formats import Format
from reconciler.cli.render.markdown import PLAN
from reconciler.cli.render.plan import pulls_words, summary_line
from reconciler.cli.showing import show_result
from reconciler.errors import UsageError
from reconciler.mirrors.model import Mirrors
from reconciler.plan.connections import connect
from reconciler.plan.estimate import with_sizes
from reconciler.plan.files import check_place, manifests_in, save
from reconciler.plan.guards import will_fail
from reconciler.plan.make import make
from reconciler.plan.plan import Plan
from reconciler.target.layout import MIRROR_INDEX
from reconciler.target.ledger import Observed
from reconciler.work.deadline import Deadline


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
            "--recheck",
            help="Also re-check immutable and pinned tags, and re-verify signatures of images already mirrored.",
        ),
    ] = False,
    sizes: Annotated[
        bool, typer.Option("--sizes", help="Also fetch new manifests and estimate transfer size, requests and cost.")
    ] = False,
    allow_prune: AllowPruneOption = False,
    strict: StrictOption = False,
    timeout: TimeoutOption = None,
    _verbose: VerboseOption = 0,
) -> int:
    """Show what apply would do. Writes nothing and, without --sizes, uses no Docker Hub pull.

    With --sizes it fetches the manifests of new images, which Docker Hub counts as pulls. A plan saved with --out
    holds them, so that apply does not fetch them again.
    """

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
    show_result(PLAN, made, output)
    _say_what_is_public(mirrors, found.observed)
    if will_fail(made, strict=strict) or (made.sizes and made.sizes.unread):
        return 1
    return 2 if detailed_exitcode and made.has_changes else 0


def _refuse_to_spend(made: Plan) -> None:
    """Raises `UsageError` where the manifests would have to be paid for twice, now and by the apply."""
    for spending in made.spendings:
        if spending.pulls:
            raise UsageError(
                f"--sizes has to fetch manifests, and {spending.quota.registry} counts those: {pulls_words(spending)}. "
                "Add --out PLAN: the plan then holds them, and `r2mirror apply PLAN` does not fetch them again"
            )


def _say_what_is_public(mirrors: Mirrors, observed: Observed) -> None:
    """Once, before the first apply: the mirror index is readable wherever the bucket is."""
    store = mirrors.store
    if observed.etag or not store.shows_state or not store.public_url:
        return
    note(
        f"note: {store.public_url}/{MIRROR_INDEX} will be public like the rest of the bucket: it holds names and "
        "digests, no secret. store.state_bucket keeps it in another bucket."
    )
