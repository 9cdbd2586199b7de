"""`r2mirror list`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.completion import targets
from reconciler.cli.console import note, show_result
from reconciler.cli.inputs import load, open_bucket
from reconciler.cli.options import MIRRORS, FileOption, PlainFormatOption, StoreOption, VerboseOption, moment
from reconciler.cli.render.formats import TEXT
from reconciler.cli.render.listing import Pulls, listing_view
from reconciler.cli.waiting import waiting
from reconciler.errors import UsageError
from reconciler.target.index_json import format_time
from reconciler.target.ledger import read_index
from reconciler.target.listing import Listing, from_index, from_public
from reconciler.upkeep.history import served_at
from reconciler.work.threads import BLOB_WORKERS, readers

DAYS = 30
"""Days whose pulls are shown, today included."""


def list_(
    repository: Annotated[
        str | None,
        typer.Argument(
            metavar="REPO",
            autocompletion=targets,
            help="A repository, or a glob, e.g. 'library/*': show its tags.",
            show_default=False,
        ),
    ] = None,
    file: FileOption = MIRRORS,
    store: StoreOption = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            metavar="URL",
            help="The public URL of a mirror, e.g. https://cr.example.com. No mirrors file and no credentials are "
            "needed then.",
        ),
    ] = None,
    at: Annotated[
        datetime | None,
        typer.Option(
            "--at",
            metavar="TIME",
            parser=moment,
            help="List what was served at this time, e.g. 2026-11-24T03:00Z, 2026-11-24, or 2d for two days ago.",
        ),
    ] = None,
    pulls: Annotated[
        bool,
        typer.Option(
            "--pulls", help=f"Also show how often each was pulled in the last {DAYS} days, as it was counted."
        ),
    ] = False,
    output: PlainFormatOption = TEXT,
    _verbose: VerboseOption = 0,
) -> int:
    """List the repositories of the store, or the tags of one.

    With REPO, shows each tag with its digest, age, platforms and download sizes. Reads the mirror index. With --url,
    if the index is not public, reads the published lists, which have names only. Exits with 1 if REPO does not exist.
    """

    if url and at:
        raise UsageError("the history is not public: leave out --url, or --at")
    if pulls and (url or at):
        raise UsageError("what was pulled is counted in the store as it is now: leave out --pulls, or --url and --at")
    found = _from_url(url, repository) if url else _from_bucket(file, store, repository, at)
    if repository and not found.repositories:
        raise UsageError(f"{repository}: no repository with tags has this name; `r2mirror list` shows all")
    counted = _pulls(file, store) if pulls else None
    show_result(listing_view(datetime.now(UTC), tags=repository is not None, pulls=counted), found, output)
    if not found.whole:
        note("note: the mirror index is not public here, so only names are known")
    return 0


def _from_bucket(file: Path, store: str | None, pattern: str | None, at: datetime | None) -> Listing:
    if file == MIRRORS and not file.exists():
        raise UsageError(f"{file}: does not exist; name one with -f, or give the address of a mirror with --url")
    state = open_bucket(load(file, store)).state
    if at is None:
        return from_index(read_index(state).index, pattern)
    with waiting("Reading ..."):
        served = served_at(state, at)
    note(f"note: as of serial {served.root.serial}, written at {format_time(served.root.at)}")
    return from_index(served.index, pattern)


def _pulls(file: Path, store: str | None) -> Pulls:
    # Most listings read no counts.
    from reconciler.cli.pulls import counts_of

    return Pulls(DAYS, counts_of(open_bucket(load(file, store)).state, DAYS).pulled)


def _from_url(url: str, pattern: str | None) -> Listing:
    # It speaks HTTP, whose client a listing of the bucket does not need.
    from reconciler.target.public import PublicBucket

    with PublicBucket(url) as bucket, waiting("Reading ..."), readers(BLOB_WORKERS) as executor:
        return from_public(bucket, pattern, executor)
