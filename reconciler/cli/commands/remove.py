"""`r2mirror remove`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated

import typer

from reconciler.cli.completion import images
from reconciler.cli.console import agreed, command_line, show_result, tell_waiting
from reconciler.cli.inputs import load, open_bucket
from reconciler.cli.options import (
    MIRRORS,
    FileOption,
    LockTimeoutOption,
    PlainFormatOption,
    StoreOption,
    VerboseOption,
    YesOption,
    named_tag,
)
from reconciler.cli.render.by_hand import ByHand, by_hand_text, by_hand_view
from reconciler.cli.render.formats import TEXT
from reconciler.cli.waiting import waiting
from reconciler.errors import UsageError
from reconciler.upkeep.caller import Caller
from reconciler.upkeep.goals import NoTag
from reconciler.upkeep.prospects import prospect
from reconciler.upkeep.restore import plan_restore, restore_bucket


def remove(
    name: Annotated[
        str,
        typer.Argument(metavar="REPO:TAG", autocompletion=images, help="The tag to remove.", show_default=False),
    ],
    file: FileOption = MIRRORS,
    store: StoreOption = None,
    yes: YesOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed and stop.")] = False,
    lock_timeout: LockTimeoutOption = 0.0,
    output: PlainFormatOption = TEXT,
    _verbose: VerboseOption = 0,
) -> int:
    """Remove one tag now, whatever mirrors.yaml chooses.

    Its image can still be pulled by digest for as long as `retain` says, and `r2mirror restore` brings the tag back. No
    apply adds the tag again until `r2mirror release`, or an edit of its entry in mirrors.yaml. Says what the next apply
    does then. Asks for confirmation on a terminal.
    """
    target, tag = named_tag(name)
    if tag is None:
        raise UsageError(f"{target}: add the tag, e.g. {target}:latest")
    mirrors = load(file, store)
    bucket = open_bucket(mirrors)
    with waiting("Reading ..."):
        found = plan_restore(mirrors, bucket, NoTag(target, tag))
    (step,) = found.steps
    then = prospect(mirrors, target, tag, is_there=False)
    result = ByHand(target, tag, step.source, step.before, None, then)
    if not dry_run:
        if not yes:
            shown = partial(by_hand_text, result, dry_run=True)
            agreed(shown().splitlines()[0], shown, "Remove this?", "remove", "Not removed.")
        caller = Caller(command_line(), lock_timeout, tell_waiting, waiting)
        done = restore_bucket(mirrors, bucket, caller, NoTag(target, tag), None if yes else found)
        result = replace(result, kept=next((one.why for one in done.kept), None))
    show_result(by_hand_view(dry_run=dry_run), result, output)
    return 1 if result.kept else 0
