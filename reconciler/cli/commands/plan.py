"""`r2mirror plan`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.boxes import check_keys, sourced
from reconciler.cli.console import note, point_to, show_result
from reconciler.cli.inputs import load_for_run
from reconciler.cli.options import (
    AcceptMovedOption,
    AllowPruneOption,
    BoxOption,
    DetailedOption,
    FilesOption,
    FormatOption,
    KeyOption,
    LockedOption,
    OnlyMissingOption,
    OnlyOption,
    StoresOption,
    StrictOption,
    TimeoutOption,
    VerboseOption,
    consent_of,
    files_of,
    taking,
)
from reconciler.cli.render.formats import TEXT
from reconciler.cli.render.markdown import PLAN, plan_blocks
from reconciler.cli.render.plan import pulls_words, summary_line
from reconciler.cli.waiting import waiting
from reconciler.errors import UsageError, pages_about
from reconciler.frozen import Frozen
from reconciler.mirrors.model import Mirrors
from reconciler.plan.connections import Connections, connect
from reconciler.plan.consent import check_consent, check_consents
from reconciler.plan.drift import with_drift_shown
from reconciler.plan.estimate import with_sizes
from reconciler.plan.files import check_place, manifests_in, save
from reconciler.plan.guards import will_fail
from reconciler.plan.make import Made, make
from reconciler.plan.plan import Plan
from reconciler.plan.settings import Choices
from reconciler.plan.suggestions import with_wanted
from reconciler.target.layout import MIRROR_INDEX
from reconciler.target.ledger import StoredIndex
from reconciler.work.deadline import Deadline

if TYPE_CHECKING:
    from reconciler.cli.stores import Opened, Parts


class PlanOptions(Frozen):
    """The options of `r2mirror plan`."""

    files: FilesOption = None
    store: StoresOption = None
    only: OnlyOption = None
    only_missing: OnlyMissingOption = False
    locked: LockedOption = False
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
    keys: KeyOption = None
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
    check_keys(options.boxes, options.keys)
    if options.boxes and options.locked:
        raise UsageError("--from and --locked exclude each other: a box has its own tags and digests")
    files = files_of(options.files)
    if len(files) > 1:
        return _plan_files(options, files)
    whole = _loaded(options, files[0])
    targets = whole.targets(options.store or ())
    if options.out and len(targets) > 1:
        raise UsageError("a saved plan is for one store: add --store NAME, and save one for each")
    if options.out:
        # Before the sources are resolved: a place that cannot be written to must not cost a whole run.
        check_place(options.out)
    if whole.stores and not options.boxes:
        # Not loaded for a file with one store.
        from reconciler.cli.stores import parts_of

        return _plan_each(options, parts_of(files[0], targets, options.only or ()))
    if len(targets) > 1:
        raise UsageError("--from fills one store: add --store NAME")
    made = _plan_one(options, targets[0])
    _save(made, options)
    show_result(PLAN, made.plan, options.output)
    _note_what_is_public(targets[0], made.observed)
    return _exit_code(made.plan, options)


def _plan_one(options: PlanOptions, mirrors: Mirrors) -> Made:
    with (
        connect(mirrors, os.environ, deadline=Deadline(options.timeout)) as outside,
        sourced(options.boxes or (), mirrors, outside, options.only or (), options.keys or ()) as given,
    ):
        made = _make(options, given.mirrors, given.connections, given.only)
        check_consent(made.plan, consent_of((), options.accept_moved))
        made = replace(made, plan=given.checked(made.plan))
        made = with_wanted(with_drift_shown(made, given.connections.target), given.connections.target)
        return _measured(made, options, given.mirrors, given.connections)


def _loaded(options: PlanOptions, file: Path) -> Mirrors:
    return load_for_run(file, options.only or (), locked=options.locked, offline=bool(options.boxes))


def _plan_files(options: PlanOptions, files: Sequence[Path]) -> int:
    from reconciler.cli.stores import parts_of_each

    if options.out:
        raise UsageError("a saved plan is for one store: name one --file, and save a plan for each")
    if options.boxes:
        raise UsageError("--from fills one store: name one --file")
    return _plan_each(options, parts_of_each(files, options.store or (), options.only or (), partial(_loaded, options)))


def _plan_each(options: PlanOptions, parts: Parts) -> int:
    """Plans for several stores, and shows what was found for each."""
    from reconciler.cli.render.several import several_view
    from reconciler.cli.stores import make_each, opened_each

    def make_one(one: Opened) -> Made:
        mirrors, connections = one.part.mirrors, one.connections
        made = _make(options, mirrors, connections, one.part.only)
        made = with_wanted(with_drift_shown(made, connections.target), connections.target)
        return _measured(made, options, mirrors, connections)

    with opened_each(parts.chosen, Deadline(options.timeout)) as opened:
        found = make_each(parts, opened, make_one)
    plans = found.each(lambda made: made.plan)
    check_consents(list(plans.results.values()), consent_of((), options.accept_moved))
    for made in found.results.values():
        _save(made, options)
    show_result(several_view(PLAN, plan_blocks), plans, options.output)
    for part in parts.chosen:
        made_of_it = found.results.get(part.name)
        if made_of_it:
            _note_what_is_public(part.mirrors, made_of_it.observed)
    codes = {_exit_code(one, options) for one in plans.results.values()}
    return 1 if found.errors or 1 in codes else max(codes, default=0)


def _make(options: PlanOptions, mirrors: Mirrors, connections: Connections, only: Sequence[str]) -> Made:
    consent = consent_of((), options.accept_moved)
    choices = Choices(tuple(only), options.recheck, options.allow_prune, options.only_missing, consent)
    return make(mirrors, connections, choices, stage=waiting)


def _measured(made: Made, options: PlanOptions, mirrors: Mirrors, connections: Connections) -> Made:
    """Returns the plan with its sizes where they are asked for."""
    if not options.sizes:
        return made
    # With --out the plan holds the manifests, so that their pulls are spent only once.
    if options.out is None:
        _refuse_to_spend(made.plan)
    held = manifests_in(options.out) if options.out else None
    return replace(made, plan=with_sizes(made, mirrors, connections, held, waiting))


def _save(made: Made, options: PlanOptions) -> None:
    if options.out:
        save(made.plan, options.out)
        note(f"saved {options.out}: {summary_line(made.plan)} `r2mirror apply {options.out}` does exactly this")


def _exit_code(plan: Plan, options: PlanOptions) -> int:
    point_to(*pages_about(reason for repository in plan.repositories for reason in repository.reasons))
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
