"""`r2mirror plan`."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.boxes import sourced
from reconciler.cli.console import note, show_result
from reconciler.cli.inputs import load
from reconciler.cli.options import (
    MIRRORS,
    AcceptMovedOption,
    AllowPruneOption,
    BoxOption,
    DetailedOption,
    FileOption,
    FormatOption,
    OnlyMissingOption,
    OnlyOption,
    StrictOption,
    TimeoutOption,
    VerboseOption,
    consent_of,
    taking,
)
from reconciler.cli.progress import waiting
from reconciler.cli.render.formats import TEXT
from reconciler.cli.render.markdown import PLAN
from reconciler.cli.render.plan import pulls_words, summary_line
from reconciler.errors import UsageError
from reconciler.mirrors.model import Mirrors
from reconciler.plan.connections import connect
from reconciler.plan.consent import check_consent
from reconciler.plan.drift import with_drift_shown
from reconciler.plan.estimate import with_sizes
from reconciler.plan.files import check_place, manifests_in, save
from reconciler.plan.guards import will_fail
from reconciler.plan.make import Made, make
from reconciler.plan.plan import Plan
from reconciler.target.layout import MIRROR_INDEX
from reconciler.target.ledger import StoredIndex
from reconciler.work.deadline import Deadline


@dataclass(frozen=True)
class PlanOptions:
    """The options of `r2mirror plan`."""

    file: FileOption = MIRRORS
    only: OnlyOption = None
    only_missing: OnlyMissingOption = False
    output: FormatOption = TEXT
    out: Annotated[
        Path | None, typer.Option("--out", metavar="PLAN", help="Also save the plan, for `r2mirror apply PLAN`.")
    ] = None
    detailed_exitcode: DetailedOption = False
    recheck: Annotated[
        bool,
        typer.Option(
            "--recheck",
            help="Also re-check immutable and pinned tags, and re-verify signatures of images already mirrored.",
        ),
    ] = False
    sizes: Annotated[
        bool, typer.Option("--sizes", help="Also fetch new manifests and estimate transfer size, requests and cost.")
    ] = False
    allow_prune: AllowPruneOption = False
    accept_moved: AcceptMovedOption = None
    boxes: BoxOption = None
    strict: StrictOption = False
    timeout: TimeoutOption = None
    _verbose: VerboseOption = 0


@taking(PlanOptions)
def plan(options: PlanOptions) -> int:
    """Show what apply would do. Writes nothing and, without --sizes, uses no Docker Hub pull.

    With --sizes it fetches the manifests of new images, which Docker Hub counts as pulls. A plan saved with --out
    holds them, so that apply does not fetch them again.
    """
    if options.boxes and options.recheck:
        raise UsageError("--from and --recheck exclude each other: a box need not have what is mirrored already")
    mirrors = load(options.file)
    if options.out:
        # Before the sources are resolved: a place that cannot be written to must not cost a whole run.
        check_place(options.out)
    made = _make(options, mirrors)
    if options.out:
        save(made.plan, options.out)
        note(f"saved {options.out}: {summary_line(made.plan)} `r2mirror apply {options.out}` does exactly this")
    show_result(PLAN, made.plan, options.output)
    _note_what_is_public(mirrors, made.observed)
    return _exit_code(made.plan, options)


def _make(options: PlanOptions, mirrors: Mirrors) -> Made:
    """Makes the plan, with its sizes where they are asked for."""
    consent = consent_of((), options.accept_moved)
    with (
        connect(mirrors, os.environ, deadline=Deadline(options.timeout)) as outside,
        sourced(options.boxes or (), mirrors, outside, options.only or ()) as given,
    ):
        mirrors, connections = given.mirrors, given.connections
        made = make(
            mirrors,
            connections,
            given.only,
            recheck=options.recheck,
            allow_prune=options.allow_prune,
            consent=consent,
            only_missing=options.only_missing,
            stage=waiting,
        )
        check_consent(made.plan, consent)
        given.check(made.plan)
        made = with_drift_shown(made, connections.target)
        if not options.sizes:
            return made
        # With --out the plan holds the manifests, so that their pulls are spent only once.
        if options.out is None:
            _refuse_to_spend(made.plan)
        held = manifests_in(options.out) if options.out else None
        return replace(made, plan=with_sizes(made, mirrors, connections, held, waiting))


def _exit_code(plan: Plan, options: PlanOptions) -> int:
    if will_fail(plan, strict=options.strict) or (plan.sizes and plan.sizes.unread):
        return 1
    return 2 if options.detailed_exitcode and plan.has_changes else 0


def _refuse_to_spend(plan: Plan) -> None:
    """Raises `UsageError` where manifests would count against a quota twice: now, and in the apply."""
    for spending in plan.spendings:
        if spending.pulls:
            raise UsageError(
                f"--sizes has to fetch manifests, and {spending.quota.registry} counts those: {pulls_words(spending)}. "
                "Add --out PLAN: the plan then holds them, and `r2mirror apply PLAN` does not fetch them again"
            )


def _note_what_is_public(mirrors: Mirrors, observed: StoredIndex) -> None:
    """Notes, before the first apply only, that clients can read the mirror index if they can read the bucket."""
    store = mirrors.store
    if observed.etag or not store.shows_state or not store.public_url:
        return
    note(
        f"note: {store.public_url}/{MIRROR_INDEX} and its earlier versions will be public like the rest of the bucket: "
        "they hold names, digests, and who changed them from which host, no secret. "
        "store.state_bucket keeps them in another bucket."
    )
