"""The options that several commands have."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.log import log_by
from reconciler.cli.render.formats import Format

MIRRORS = Path("mirrors.yaml")


class PlainFormat(StrEnum):
    """The formats of commands whose results are not written as comments."""

    TEXT = "text"
    JSON = "json"


VerboseOption = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        callback=log_by,
        show_default=False,
        help="Log what is done; -vv: log each request.",
    ),
]
FileOption = Annotated[Path, typer.Option("--file", "-f", metavar="FILE", help="The mirrors file.")]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="GLOB", help="Limit to targets that match, e.g. 'library/*'; may be repeated."),
]
FormatOption = Annotated[Format, typer.Option("--format", help="The output format.")]
PlainFormatOption = Annotated[PlainFormat, typer.Option("--format", help="The output format.")]
DetailedOption = Annotated[bool, typer.Option("--detailed-exitcode", help="Exit with 2 if there are changes.")]
StrictOption = Annotated[bool, typer.Option("--strict", help="Exit with 1 if there are warnings.")]
AllowPruneOption = Annotated[
    bool,
    typer.Option(
        "--allow-prune",
        help="Allow pruning more than 30 % (and more than 10) of a repository's tags or of all tags, and emptying "
        "more than a third (and more than 2) of the repositories.",
    ),
]
YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Do not ask for confirmation; required without a terminal.")
]
LONGEST_WAIT = 7 * 24 * 3600
"""The longest wait that an option can ask for, in seconds."""


def seconds(text: str) -> float:
    """Parses how long to wait. A range of numbers would let `nan` through."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if 0 <= value <= LONGEST_WAIT:
        return value
    raise typer.BadParameter(f"{text!r} is not a number of seconds from 0 to {LONGEST_WAIT} (a week)")


TimeoutOption = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        parser=seconds,
        help="Stop after this long: record and publish what is done, and exit with 1 if work is left.",
    ),
]
LockTimeoutOption = Annotated[
    float,
    typer.Option(
        "--lock-timeout", metavar="SECONDS", parser=seconds, help="How long to wait for another run to finish."
    ),
]
