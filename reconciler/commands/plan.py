"""`r2mirror plan`, and what it shares with `apply`: making a plan and printing it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.console import (
    MIRRORS,
    DetailedOption,
    FileOption,
    Format,
    FormatOption,
    OnlyOption,
    VerboseOption,
    load,
    opened,
    terminal,
)
from reconciler.errors import UsageError

if TYPE_CHECKING:
    from reconciler.ledger import Observed
    from reconciler.mirrors import Mirrors
    from reconciler.plan import Plan
    from reconciler.source import OpenSource
    from reconciler.store import Stores


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
    _verbose: VerboseOption = 0,
) -> int:
    """Show what apply would do. Reads only: writes nothing and spends no Docker Hub pull."""
    mirrors = load(file)
    with opened(mirrors) as (stores, open_source):
        made, observed = make(mirrors, stores, open_source, only or [], recheck=recheck)
    if out:
        _save(made, out)
    typer.echo(rendered(made, output), nl=False)
    _say_what_is_public(mirrors, observed)
    if made.counts["errors"]:
        return 1
    return 2 if detailed_exitcode and made.has_changes else 0


def make(
    mirrors: Mirrors, stores: Stores, open_source: OpenSource, only: list[str], *, recheck: bool
) -> tuple[Plan, Observed]:
    from concurrent.futures import ThreadPoolExecutor

    from reconciler.ledger import read_index
    from reconciler.plan import make_plan
    from reconciler.progress import waiting
    from reconciler.resolve import resolve
    from reconciler.signatures.gate import make_gate
    from reconciler.work import RESOLVE_WORKERS

    gate = make_gate(mirrors)
    with waiting("Asking the sources ..."), ThreadPoolExecutor(RESOLVE_WORKERS) as executor:
        observed = read_index(stores.state)
        desired = resolve(mirrors, observed.index, open_source, executor, only, recheck=recheck, gate=gate)
    return make_plan(desired, observed.index, observed.etag, mirrors.sha256), observed


def _save(made: Plan, path: Path) -> None:
    from reconciler.plan import serialise

    try:
        path.write_text(serialise(made))
    except OSError as error:
        raise UsageError(f"{path}: the plan cannot be written there: {error.strerror}") from None


def rendered(made: Plan, output: Format) -> str:
    from reconciler.plan import serialise
    from reconciler.render import plan_markdown, plan_text

    match output:
        case Format.TEXT:
            return plan_text(made, **terminal(sys.stdout.isatty()))
        case Format.MARKDOWN:
            return plan_markdown(made)
        case Format.JSON:
            return serialise(made)


def _say_what_is_public(mirrors: Mirrors, observed: Observed) -> None:
    """Once, before the first apply: the mirror index is readable wherever the bucket is."""
    from reconciler.layout import MIRROR_INDEX
    from reconciler.mirrors import Folder

    store = mirrors.store
    if observed.etag or isinstance(store, Folder) or store.state_bucket or not store.public_url:
        return
    typer.echo(
        f"note: {store.public_url}/{MIRROR_INDEX} will be public like the rest of the bucket: it holds names and "
        "digests, no secret. store.state_bucket keeps it in another bucket.",
        err=True,
    )
