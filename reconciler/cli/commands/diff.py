"""`r2mirror diff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.console import show_result
from reconciler.cli.options import DetailedOption, FormatOption
from reconciler.cli.render.formats import TEXT
from reconciler.cli.render.review import EDITS
from reconciler.errors import UsageError
from reconciler.mirrors.document import STDIN
from reconciler.mirrors.load import load_mirrors
from reconciler.mirrors.review import Edit, review


def diff(
    old: Annotated[
        Path, typer.Argument(metavar="OLD", help="The mirrors file before the edit; an empty file if there was none.")
    ],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The file after the edit; OLD or NEW may be - for stdin.")],
    output: FormatOption = TEXT,
    detailed_exitcode: DetailedOption = False,
) -> int:
    """Summarize what an edit to a mirrors file means. Works offline; made for reviews."""
    edits = edits_between(old, new)
    show_result(EDITS, edits, output)
    return 2 if detailed_exitcode and edits else 0


def edits_between(old: Path, new: Path) -> tuple[Edit, ...]:
    """Compares two mirrors files without their variables and key files; an empty `old` stands for none."""
    if old == new == STDIN:
        raise UsageError("stdin can be read only once; name a file for OLD or NEW")
    before = None if _is_empty(old) else load_mirrors(old, None, read_files=False)
    return review(before, load_mirrors(new, None, read_files=False))


def _is_empty(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size == 0
    except OSError:
        return False  # Opening it tells why.
