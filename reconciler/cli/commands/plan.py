"""`r2mirror plan`, and what it shares with `apply`: making a plan and printing it."""

from __future__ import annotations

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
    opened,
    show,
    show_json_text,
    terminal,
)
from reconciler.errors import UsageError
from reconciler.work.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.mirrors.model import Mirrors
    from reconciler.oci.spec import Digest
    from reconciler.plan.cost.forecast import Parts
    from reconciler.plan.plan import Plan
    from reconciler.sources import OpenSource
    from reconciler.stores import OpenStores, Stores
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
    from reconciler.cli.render.plan import summary_line
    from reconciler.plan.files import check_place, manifests_in, save

    mirrors = load(file)
    if out:
        check_place(out)
    with opened(mirrors, deadline=Deadline(timeout)) as (open_stores, open_source):
        made, observed = make(mirrors, open_stores, open_source, only or [], recheck=recheck, allow_prune=allow_prune)
        if sizes:
            made = _measured(made, observed, mirrors, open_stores(), open_source, manifests_in(out) if out else None)
    if out:
        save(made, out)
        note(f"saved {out}: {summary_line(made)} `r2mirror apply {out}` does exactly this")
    show_plan(made, output)
    _say_what_is_public(mirrors, observed)
    if failing(made, strict=strict) or (made.sizes and made.sizes.unread):
        return 1
    return 2 if detailed_exitcode and made.has_changes else 0


def failing(made: Plan, *, strict: bool) -> bool:
    """Whether an apply of the plan ends with 1 as far as can be told: errors, prunes that are held back, warnings."""
    from reconciler.plan.plan import held_back

    return bool(made.counts["errors"] or held_back(made) or (strict and made.all_warnings))


def make(
    mirrors: Mirrors,
    open_stores: OpenStores,
    open_source: OpenSource,
    only: list[str],
    *,
    recheck: bool,
    allow_prune: bool,
) -> tuple[Plan, Observed]:
    from dataclasses import replace
    from functools import cache

    from reconciler.cli.progress import waiting
    from reconciler.plan.cost.spending import guess, spendings
    from reconciler.plan.images import image_work
    from reconciler.plan.owners import left_alone
    from reconciler.plan.plan import make_plan
    from reconciler.plan.resolve import resolve
    from reconciler.plan.signed import gate_for
    from reconciler.target.ledger import read_index
    from reconciler.work.threads import RESOLVE_WORKERS, readers

    gate = gate_for(mirrors)
    read = cache(lambda: read_index(open_stores().state))
    try:
        with waiting("Asking the sources ..."), readers(RESOLVE_WORKERS) as executor:
            desired = resolve(mirrors, lambda: read().index, open_source, executor, only, recheck=recheck, gate=gate)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("there is no plan yet, and nothing was written") from None
    observed = read()
    made = make_plan(desired, observed.index, observed.etag, mirrors.sha256, mirrors.name)
    spent = spendings(guess(image_work(made), observed.index), open_source)
    notes = tuple(left_alone(observed.index, mirrors.owns))
    private = _private(made, observed, mirrors, open_source)
    warnings = (*made.warnings, *_lost_index(mirrors, observed, open_stores), *private)
    return replace(made, spendings=spent, notes=notes, warnings=warnings, allow_prune=allow_prune), observed


def _lost_index(mirrors: Mirrors, observed: Observed, open_stores: OpenStores) -> Iterator[str]:
    """Says so where there is no mirror index, and the bucket has repositories that it should tell of."""
    from reconciler.target.inventory import INDEX_GONE, held_of

    if observed.etag is None:
        found = held_of(open_stores().public, [mirror.target for mirror in mirrors.mirrors])
        if found:
            yield INDEX_GONE.format(found)


def _private(made: Plan, observed: Observed, mirrors: Mirrors, open_source: OpenSource) -> Iterator[str]:
    """Warns of images that only a login lets in, where the store serves them to everyone."""
    from reconciler.plan.private import private_sources, warning_of
    from reconciler.work.threads import RESOLVE_WORKERS, readers

    if mirrors.store.public_url:
        with readers(RESOLVE_WORKERS) as executor:
            found = private_sources(made, observed.index, open_source, executor)
        if found:
            yield warning_of(found, mirrors.store.public_url)


def _measured(
    made: Plan,
    observed: Observed,
    mirrors: Mirrors,
    stores: Stores,
    open_source: OpenSource,
    held: Mapping[Digest, bytes] | None,
) -> Plan:
    """The plan with its sizes, and the manifests that were read for them if they are to be held."""
    from dataclasses import replace

    from reconciler.cli.progress import waiting
    from reconciler.plan.cost.measure import measure
    from reconciler.plan.cost.spending import spendings
    from reconciler.plan.plan import leaving_out
    from reconciler.stores.config import is_r2
    from reconciler.work.threads import RESOLVE_WORKERS, readers

    if held is None:
        _refuse_to_spend(made)
    now, parts = observed.at, _parts(mirrors)
    with waiting("Reading manifests ..."), readers(RESOLVE_WORKERS) as executor:
        measured = measure(
            made, observed.index, stores.public, open_source, executor, parts, now, held, named=mirrors.naming()
        )
    spent = spendings(measured.takes, open_source)
    sizes = replace(measured.sizes, priced=is_r2(mirrors.store))
    made = leaving_out(made, measured.left_out)
    return replace(made, sizes=sizes, manifests=measured.bodies, spendings=spent)


def _refuse_to_spend(made: Plan) -> None:
    """Raises `UsageError` where the manifests would have to be paid for twice, now and by the apply."""
    from reconciler.cli.render.plan import pulls_words

    for spending in made.spendings:
        if spending.pulls:
            raise UsageError(
                f"--sizes has to fetch manifests, and {spending.quota.registry} counts those: {pulls_words(spending)}. "
                "Add --out PLAN: the plan then holds them, and `r2mirror apply PLAN` does not fetch them again"
            )


def _parts(mirrors: Mirrors) -> Parts | None:
    from reconciler.stores.config import Folder

    if isinstance(mirrors.store, Folder):
        return None
    from reconciler.stores.s3 import parts

    return parts


def show_plan(made: Plan, output: Format) -> None:
    from reconciler.cli.render.plan import plan_markdown, plan_text
    from reconciler.plan.plan import serialise

    match output:
        case Format.TEXT:
            show(plan_text(made, **terminal(sys.stdout)))
        case Format.MARKDOWN:
            show(plan_markdown(made))
        case Format.JSON:
            show_json_text(serialise(made))


def _say_what_is_public(mirrors: Mirrors, observed: Observed) -> None:
    """Once, before the first apply: the mirror index is readable wherever the bucket is."""
    from reconciler.stores.config import Folder
    from reconciler.target.layout import MIRROR_INDEX

    store = mirrors.store
    if observed.etag or isinstance(store, Folder) or store.state_bucket or not store.public_url:
        return
    note(
        f"note: {store.public_url}/{MIRROR_INDEX} will be public like the rest of the bucket: it holds names and "
        "digests, no secret. store.state_bucket keeps it in another bucket."
    )
