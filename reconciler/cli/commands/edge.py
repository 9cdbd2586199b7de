"""`r2mirror edge plan` and `r2mirror edge apply`."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.console import (
    MIRRORS,
    DetailedOption,
    FileOption,
    PlainFormat,
    PlainFormatOption,
    VerboseOption,
    YesOption,
    agreed,
    load,
    note,
    seconds,
    show,
    show_json,
    terminal,
)
from reconciler.errors import EdgeError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.edge.apply import Outcome
    from reconciler.edge.cloudflare import Cloudflare
    from reconciler.edge.config import EdgeConfig
    from reconciler.edge.plan import EdgePlan
    from reconciler.stores.config import R2

edge = typer.Typer(
    name="edge",
    help="Keep an R2 bucket's custom domain and rules at Cloudflare.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

RemoveOption = Annotated[
    bool, typer.Option("--remove", help="Take all rules of ours out of the zone; bucket and domain stay.")
]


@edge.command("plan")
def plan(
    file: FileOption = MIRRORS,
    remove: RemoveOption = False,
    output: PlainFormatOption = PlainFormat.TEXT,
    detailed_exitcode: DetailedOption = False,
    _verbose: VerboseOption = 0,
) -> int:
    """Show what edge apply would change at Cloudflare. Reads only.

    Needs an API token in CLOUDFLARE_API_TOKEN; docs/edge.md names its permissions.
    """
    from reconciler.cli.render.edge import plan_document, plan_text

    config, store = _configured(file)
    with _cloudflare(store) as cloudflare:
        made = _make(config, store, cloudflare, remove=remove)
    match output:
        case PlainFormat.TEXT:
            show(plan_text(made, **terminal(sys.stdout)))
        case PlainFormat.JSON:
            show_json(plan_document(made))
    return 2 if detailed_exitcode and made.changes else 0


@edge.command("apply")
def apply(
    file: FileOption = MIRRORS,
    remove: RemoveOption = False,
    yes: YesOption = False,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", parser=seconds, help="How long to wait for the domain.")
    ] = 600.0,
    output: PlainFormatOption = PlainFormat.TEXT,
    _verbose: VerboseOption = 0,
) -> int:
    """Make the bucket's front at Cloudflare as mirrors.yaml says.

    Creates the bucket, connects the custom domain and waits until it is active, and keeps exactly our rules in the
    zone; others' rules stay as they are. Asks first on a terminal. Needs an API token in CLOUDFLARE_API_TOKEN.
    """
    from reconciler.edge.apply import Done, Wait, apply_plan, wait_for_domain

    config, store = _configured(file)
    with _cloudflare(store) as cloudflare:
        made = _make(config, store, cloudflare, remove=remove)
        _confirm(made, yes=yes)
        outcomes: list[Outcome] = []
        wait = Wait(timeout, note)
        try:
            outcomes.extend(apply_plan(made, cloudflare, wait))
        finally:
            _print_outcomes(made, outcomes, output)
        if not all(isinstance(outcome, Done) for outcome in outcomes):
            return 1
        if not remove:
            wait_for_domain(config, store.bucket, cloudflare, wait, lambda domain: domain.is_active)
        if made.changes:
            _check(_make(config, store, cloudflare, remove=remove))
    return 0


def _configured(file: Path) -> tuple[EdgeConfig, R2]:
    from reconciler.stores.config import R2

    mirrors = load(file)
    if mirrors.edge is None or not isinstance(mirrors.store, R2):
        raise UsageError(f"{file}: has no edge section; write for example `edge: {{zone: example.com}}` (docs/edge.md)")
    return mirrors.edge, mirrors.store


def _cloudflare(store: R2) -> Cloudflare:
    from reconciler.edge import cloudflare

    token = cloudflare.find_token(os.environ)
    return cloudflare.Cloudflare(token, store.account_id, store.jurisdiction, cloudflare.API)


def _make(config: EdgeConfig, store: R2, cloudflare: Cloudflare, *, remove: bool) -> EdgePlan:
    from reconciler.cli.progress import waiting
    from reconciler.edge.apply import observe
    from reconciler.edge.plan import make_plan

    with waiting("Asking Cloudflare ..."):
        buckets = tuple(dict.fromkeys(name for name in (store.bucket, store.state_bucket) if name))
        return make_plan(config, buckets, observe(config, buckets, cloudflare), remove=remove)


def _confirm(made: EdgePlan, *, yes: bool) -> None:
    """Raises `PlanRefused` unless somebody, or `--yes`, agrees to the plan."""
    from reconciler.cli.render.edge import plan_text, summary_line

    if not yes and made.changes:
        agreed(summary_line(made), partial(plan_text, made), "Apply this?", "apply", "Not applied.")


def _print_outcomes(made: EdgePlan, outcomes: list[Outcome], output: PlainFormat) -> None:
    from reconciler.cli.render.edge import outcome_document, outcome_text

    match output:
        case PlainFormat.TEXT:
            show(outcome_text(outcomes, **terminal(sys.stdout)))
        case PlainFormat.JSON:
            show_json(outcome_document(made, outcomes))


def _check(again: EdgePlan) -> None:
    """Raises `EdgeError` if there is still something to do: Cloudflare keeps a thing otherwise than it was sent."""
    left = [(change, change.differences()) for change in again.changes]
    if left:
        words = "; ".join(f"{change.action} {change.name} {', '.join(details)}".rstrip() for change, details in left)
        raise EdgeError(
            f"zone {again.zone.name}",
            f"is not as it was asked to be after all was done: {words}. Somebody else may be changing it; if the same "
            "is left after another run, Cloudflare spells it in another way than we: please report it",
        )
