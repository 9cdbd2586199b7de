"""`r2mirror review`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.commands.diff import edits_between
from reconciler.cli.console import show
from reconciler.cli.github import summarise
from reconciler.cli.render.blocks import COMMENT_LIMIT, Block, fitted
from reconciler.cli.render.markdown import plan_blocks
from reconciler.cli.render.review import review_blocks
from reconciler.plan.files import read_plan


def review(
    old: Annotated[
        Path,
        typer.Argument(
            metavar="OLD",
            help="The mirrors file before the edit, also as git's REVISION:PATH; an empty file if there was none.",
        ),
    ],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The file after the edit.")],
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="PLAN", help="Add this plan, saved by `r2mirror plan --out`.")
    ] = None,
    max_chars: Annotated[
        int,
        typer.Option("--max-chars", metavar="N", min=1_000, help="The maximum length of the comment, in characters."),
    ] = COMMENT_LIMIT,
) -> int:
    """Write a pull-request comment about an edit and a plan.

    If the comment would be too long, whole rows are left out and their number is given. Its first line is
    `<!-- r2mirror -->`, so that a workflow can find and replace its earlier comment.
    """

    planned = plan_blocks(read_plan(plan)[0]) if plan else ()
    blocks = (Block(["<!-- r2mirror -->"]), *review_blocks(edits_between(old, new)), *planned)
    comment = fitted(blocks, max_chars)
    show(comment)
    summarise(comment)
    return 0
