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
from reconciler.mirrors.revision import at_revision


def diff(
    old: Annotated[
        Path,
        typer.Argument(
            metavar="OLD",
            help="The mirrors file before the edit, also as git's REVISION:PATH; an empty file if there was none.",
        ),
    ],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The file after the edit; OLD or NEW may be - for stdin.")],
    output: FormatOption = TEXT,
    detailed_exitcode: DetailedOption = False,
) -> int:
    """Summarize what an edit to a mirrors file means. Works offline; made for reviews.

    REVISION:PATH is read by git, with the files that it includes, e.g. `r2mirror diff main:mirrors.yaml mirrors.yaml`.
    """
    edits = edits_between(old, new)
    show_result(EDITS, edits, output)
    return 2 if detailed_exitcode and edits else 0


def edits_between(old: Path, new: Path) -> tuple[Edit, ...]:
    """Compares two mirrors files without their variables and key files; an empty `old` stands for none.

    One of a git revision that the revision does not have counts as empty.
    """
    if old == new == STDIN:
        raise UsageError("stdin can be read only once; name a file for OLD or NEW")
    at_old, at_new = at_revision(old), at_revision(new)
    is_new = not at_old.exists if at_old else _is_empty(old)
    before = None if is_new else load_mirrors(at_old or old, None, read_files=False)
    return review(before, load_mirrors(at_new or new, None, read_files=False))


def _is_empty(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size == 0
    except OSError:
        return False  # Opening it tells why.
