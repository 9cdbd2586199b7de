"""`r2mirror edge plan`, `edge apply` and `edge print`."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.console import agreed, note, show, show_result
from reconciler.cli.edge_tokens import token
from reconciler.cli.inputs import load, load_whole
from reconciler.cli.options import (
    MIRRORS,
    DetailedOption,
    FileOption,
    PlainFormatOption,
    StoreOption,
    VerboseOption,
    YesOption,
    seconds,
)
from reconciler.cli.render.edge import (
    EDGE_PLAN,
    edge_outcome_view,
    edge_plan_text,
    edge_summary,
)
from reconciler.cli.render.formats import TEXT
from reconciler.cli.serving import note_without_token
from reconciler.cli.waiting import waiting
from reconciler.edge.apply import Applied, EdgeOutcome, Wait, apply_plan, settle
from reconciler.edge.cloudflare import Cloudflare
from reconciler.edge.config import EdgeConfig
from reconciler.edge.make import bucket_names, connect, make, make_rollback, validated
from reconciler.edge.plan import EdgePlan
from reconciler.edge.proxies import PROXIES, configuration
from reconciler.edge.proxies.site import make_site
from reconciler.errors import UsageError
from reconciler.stores.buckets import R2, S3
from reconciler.stores.config import StoreConfig
from reconciler.stores.registry import RegistryStore

edge = typer.Typer(
    name="edge",
    help="Manage an R2 bucket's custom domain, and its rules or its Worker, at Cloudflare.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

edge.add_typer(token)

RemoveOption = Annotated[
    bool,
    typer.Option(
        "--remove",
        help="Remove all of r2mirror's rules and its Worker; the bucket stays, and so does its domain, unless the "
        "mirror is private.",
    ),
]
RollbackOption = Annotated[
    bool, typer.Option("--rollback", help="Have the Worker's previous version answer again; change nothing else.")
]


@edge.command("plan")
def plan(
    file: FileOption = MIRRORS,
    remove: RemoveOption = False,
    rollback: RollbackOption = False,
    output: PlainFormatOption = TEXT,
    detailed_exitcode: DetailedOption = False,
    _verbose: VerboseOption = 0,
) -> int:
    """Show what `edge apply` would change at Cloudflare. Reads only, and has Cloudflare validate new rules.

    Needs an API token in CLOUDFLARE_API_TOKEN; docs/edge.md lists its permissions.
    """

    config, store = _configured(file)
    with connect(store, os.environ) as cloudflare:
        made = validated(_make(config, store, cloudflare, remove=remove, rollback=rollback), cloudflare)
    show_result(EDGE_PLAN, made, output)
    note_without_token(made.without_token)
    if made.refused:
        return 1
    return 2 if detailed_exitcode and made.changes else 0


@edge.command("apply")
def apply(
    file: FileOption = MIRRORS,
    remove: RemoveOption = False,
    rollback: RollbackOption = False,
    yes: YesOption = False,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", metavar="SECONDS", parser=seconds, help="How long to wait until the domain is active."
        ),
    ] = 600.0,
    output: PlainFormatOption = TEXT,
    _verbose: VerboseOption = 0,
) -> int:
    """Apply the edge section of mirrors.yaml to Cloudflare.

    Creates the bucket, connects the custom domain and waits until it is active, and adds, updates and removes
    r2mirror's rules in the zone, or its Worker; those of others stay as they are. Asks for confirmation on a terminal.
    Needs an API token in CLOUDFLARE_API_TOKEN.
    """

    config, store = _configured(file)
    with connect(store, os.environ) as cloudflare:
        made = _make(config, store, cloudflare, remove=remove, rollback=rollback)
        _confirm(made, yes=yes)
        outcomes: list[EdgeOutcome] = []
        wait = Wait(timeout, note)
        try:
            outcomes.extend(apply_plan(made, cloudflare, wait))
        finally:
            show_result(edge_outcome_view(made), outcomes, output)
        if not all(isinstance(outcome, Applied) for outcome in outcomes):
            return 1
        settle(made, cloudflare, wait)
    note_without_token(made.without_token)
    return 0


@edge.command("print")
def print_(
    proxy: Annotated[str, typer.Argument(metavar="PROXY", help=f"The reverse proxy: {' or '.join(PROXIES)}.")],
    file: FileOption = MIRRORS,
    store: StoreOption = None,
    bucket_url: Annotated[
        str | None,
        typer.Option(
            "--bucket-url",
            metavar="URL",
            help="Where the proxy reads the objects, if not at the store's endpoint_url, e.g. Garage's web endpoint.",
        ),
    ] = None,
    cache: Annotated[
        str, typer.Option("--cache", metavar="FOLDER", help="Keep what is requested by digest there; nginx only.")
    ] = "",
) -> int:
    """Print the edge's rules as the configuration of nginx or Caddy.

    For a bucket that is not behind Cloudflare, e.g. SeaweedFS, MinIO or Garage at home. Clients pull from
    `store.public_url`, and the proxy needs to read the bucket without a login. Works offline.
    """

    if proxy not in PROXIES:
        raise UsageError(f"unknown proxy {proxy!r}; available: {', '.join(PROXIES)}")
    mirrors = load(file, store)
    bucket = _bucket(mirrors.store)
    if mirrors.access:
        raise UsageError(
            "edge.access: nginx and Caddy would ask for no login; put them before `r2mirror serve --access`"
        )
    if not bucket.public_url:
        raise UsageError(
            "store.public_url is missing, so clients have no address to pull from; "
            "add the URL that the proxy serves, e.g. public_url: https://cr.example.com"
        )
    show(configuration(proxy, make_site(bucket.public_url, bucket_url or _url(bucket), cache)))
    return 0


def _configured(file: Path) -> tuple[EdgeConfig, R2]:
    # Only one of several stores can have an edge.
    targets = load_whole(file).targets()
    mirrors = next((one for one in targets if one.edge), targets[0])
    if isinstance(mirrors.store, RegistryStore):
        raise UsageError(
            f"{file}: the target is a registry, which needs no edge: clients pull from {mirrors.store.registry} itself"
        )
    if mirrors.edge is None or not isinstance(mirrors.store, R2):
        raise UsageError(f"{file}: has no edge.zone; add it, e.g. `edge: {{zone: example.com}}` (docs/edge.md)")
    return mirrors.edge, mirrors.store


def _make(config: EdgeConfig, store: R2, cloudflare: Cloudflare, *, remove: bool, rollback: bool) -> EdgePlan:
    if remove and rollback:
        raise UsageError("--remove and --rollback exclude each other; use one of them")
    with waiting("Reading the configuration at Cloudflare ..."):
        if rollback:
            return make_rollback(config, bucket_names(store), cloudflare)
        return make(config, bucket_names(store), cloudflare, remove=remove)


def _confirm(made: EdgePlan, *, yes: bool) -> None:
    """Raises `PlanRefused` unless the user, or `--yes`, agrees to the plan."""
    if not yes and made.changes:
        agreed(edge_summary(made), partial(edge_plan_text, made), "Apply this?", "apply", "Not applied.")


def _bucket(store: StoreConfig) -> S3:
    if isinstance(store, R2) or store.is_at_r2:
        raise UsageError("R2 has no address for a proxy to read without a login; use `r2mirror edge apply`")
    if not isinstance(store, S3):
        raise UsageError(f"a store of type {store.type} is not read through a proxy; `r2mirror serve` serves it")
    return store


def _url(bucket: S3) -> str:
    if bucket.endpoint_url:
        return f"{bucket.endpoint_url.rstrip('/')}/{bucket.bucket}"
    if bucket.region:
        return f"https://{bucket.bucket}.s3.{bucket.region}.amazonaws.com"
    raise UsageError("the bucket's URL is unknown without store.endpoint_url or store.region; add --bucket-url URL")
