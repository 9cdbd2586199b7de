"""`r2mirror history`."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Annotated

import typer

from reconciler.cli.completion import images
from reconciler.cli.console import note, show_result
from reconciler.cli.inputs import load, open_bucket
from reconciler.cli.options import MIRRORS, FileOption, PlainFormatOption, StoreOption, VerboseOption, moment, named_tag
from reconciler.cli.render.formats import TEXT
from reconciler.cli.render.history import HISTORY
from reconciler.cli.waiting import waiting
from reconciler.upkeep.history import happened

RUNS = 50
"""How many runs are shown without --limit."""


def history(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="REPO[:TAG]",
            autocompletion=images,
            help="Only what happened to this repository or tag.",
            show_default=False,
        ),
    ] = None,
    file: FileOption = MIRRORS,
    store: StoreOption = None,
    at: Annotated[
        datetime | None,
        typer.Option(
            "--at",
            metavar="TIME",
            parser=moment,
            help="Leave out what happened later, e.g. 2026-11-24T03:00Z, 2026-11-24, or 2d for two days ago.",
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="Show the newest N runs.")
    ] = RUNS,
    output: PlainFormatOption = TEXT,
    _verbose: VerboseOption = 0,
) -> int:
    """Show what changed in the mirror, when and by whom.

    Newest first, a block for each run: when it ended, its serials, the host and the command, in CI the commit and the
    pull request, and each tag that it changed with the digests before and after.
    """
    target, tag = named_tag(name) if name else (None, None)
    state = open_bucket(load(file, store)).state
    with waiting("Reading ..."):
        found = tuple(islice(happened(state, target, tag, at), limit))
    show_result(HISTORY, found, output)
    if name and not found:
        note(f"nothing is recorded of {name}; `r2mirror list` shows what the mirror has")
    return 0
