"""`r2mirror validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.console import show_result, warn
from reconciler.cli.options import MIRRORS, PlacedFormatOption, VerboseOption
from reconciler.cli.render.check import check_view, noted_view
from reconciler.cli.render.formats import TEXT
from reconciler.errors import UsageError
from reconciler.mirrors.document import STDIN
from reconciler.plan.check import check_files


def validate(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Mirrors files (default: mirrors.yaml); - for stdin.")
    ] = None,
    also: Annotated[
        list[Path] | None,
        typer.Option(
            "--file", "-f", metavar="FILE", help="Same as FILE: how other commands take it.", show_default=False
        ),
    ] = None,
    output: PlacedFormatOption = TEXT,
    verbose: VerboseOption = 0,
) -> int:
    """Check mirrors files, offline and without credentials.

    Prints every problem as FILE:LINE:COLUMN: where: what is wrong, and what to write instead. Environment variables in
    a file need not be set. With -v, says why entries may choose other tags than in earlier releases.
    """
    named = [*(files or []), *(also or [])] or [MIRRORS]
    if named.count(STDIN) > 1:
        raise UsageError("stdin can be read only once; name - once")
    check = check_files(named)
    show_result(noted_view if verbose else check_view, check, output)
    for words in check.warnings:
        warn(words)
    return 0 if check.is_valid else 1
