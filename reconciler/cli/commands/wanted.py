"""`r2mirror wanted`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.console import show, show_result
from reconciler.cli.inputs import load, open_bucket
from reconciler.cli.options import MIRRORS, FileOption, PlainFormatOption, StoreOption, VerboseOption
from reconciler.cli.pulls import counts_of
from reconciler.cli.render.formats import TEXT
from reconciler.cli.render.wanted import WANTED, Asked
from reconciler.errors import UsageError
from reconciler.finding.asked import asked_entries, source_of
from reconciler.pulls.wanted import wanted as selected
from reconciler.stores.folder import FolderStore
from reconciler.target.compaction import COUNTS_KEPT
from reconciler.target.ledger import read_index


def wanted(
    as_mirrors: Annotated[
        bool, typer.Option("--mirrors", help="Write the tags as entries of mirrors.yaml; check the sources.")
    ] = False,
    days: Annotated[
        int, typer.Option("--days", metavar="N", min=1, max=COUNTS_KEPT.days, help="Count the last N days.")
    ] = 30,
    counts: Annotated[
        Path | None,
        typer.Option("--counts", metavar="DIR", help="The folder of `r2mirror serve --counts`, instead of the store."),
    ] = None,
    file: FileOption = MIRRORS,
    store: StoreOption = None,
    output: PlainFormatOption = TEXT,
    _verbose: VerboseOption = 0,
) -> int:
    """Show the tags that clients asked for and that are not mirrored.

    Reads what the Worker and `r2mirror serve --count` counted, and the mirror index. The names come from clients: check
    each before you mirror it. Counts are lower bounds.
    """
    if as_mirrors and output != TEXT:
        raise UsageError("--mirrors writes YAML; leave out --format")
    if counts and not counts.is_dir():
        raise UsageError(f"{counts}: is not a folder; name the one of `r2mirror serve --counts`")
    mirrors = load(file, store)
    state = open_bucket(mirrors).state
    found = selected(counts_of(FolderStore(counts) if counts else state, days), read_index(state).index)
    if as_mirrors:
        show(asked_entries(found, mirrors))
    else:
        show_result(WANTED, Asked(days, tuple((one, source_of(one, mirrors)) for one in found)), output)
    return 0
