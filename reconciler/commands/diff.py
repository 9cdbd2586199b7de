"""`r2mirror diff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reconciler.console import DetailedOption, Format, FormatOption, echo_json


def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A mirrors file as it was.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The same file as it is to be.")],
    output: FormatOption = Format.TEXT,
    detailed_exitcode: DetailedOption = False,
) -> int:
    """Say in words what an edit to a mirrors file means. Offline; made for reviews."""
    from reconciler.mirrors import load_mirrors
    from reconciler.review import review, review_document, review_markdown, review_text

    edits = review(load_mirrors(old, None, read_files=False), load_mirrors(new, None, read_files=False))
    match output:
        case Format.TEXT:
            typer.echo(review_text(edits), nl=False)
        case Format.MARKDOWN:
            typer.echo(review_markdown(edits), nl=False)
        case Format.JSON:
            echo_json(review_document(edits))
    return 2 if detailed_exitcode and edits else 0
