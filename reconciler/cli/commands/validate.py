"""`r2mirror validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.console import say, show, warn
from reconciler.cli.options import MIRRORS
from reconciler.errors import MirrorsInvalid
from reconciler.mirrors.load import load_mirrors
from reconciler.plan.owners import clashes, namesakes
from reconciler.words import count


def validate(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Mirrors files (default: mirrors.yaml).")
    ] = None,
    also: Annotated[
        list[Path] | None,
        typer.Option(
            "--file", "-f", metavar="FILE", help="Same as FILE: how other commands take it.", show_default=False
        ),
    ] = None,
) -> int:
    """Check mirrors files, offline and without credentials.

    Prints every problem as FILE:LINE:COLUMN: where: what is wrong, and what to write instead. Environment variables in
    a file need not be set.
    """

    invalid = False
    valid = {}
    for path in [*(files or []), *(also or [])] or [MIRRORS]:
        try:
            mirrors = load_mirrors(path, None, for_clients=True)
        except MirrorsInvalid as error:
            invalid = True
            show(f"{error}\n")
        else:
            valid[str(path)] = mirrors
            say(f"{path}: valid, {count(len(mirrors.mirrors), 'mirror')}")
    claimed_twice = tuple(clashes(valid))
    for problem in claimed_twice:
        show(f"{problem}\n")
    for words in namesakes(valid):
        warn(words)
    return 1 if invalid or claimed_twice else 0
