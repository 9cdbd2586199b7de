"""`r2mirror gc`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import typer

from reconciler.cli.console import agreed, command_line, show_result, tell_waiting
from reconciler.cli.inputs import load, open_bucket
from reconciler.cli.options import (
    MIRRORS,
    FileOption,
    LockTimeoutOption,
    OnlyOption,
    PlainFormatOption,
    StoreOption,
    VerboseOption,
)
from reconciler.cli.render.formats import TEXT
from reconciler.cli.render.upkeep import garbage_summary, garbage_text, garbage_view
from reconciler.cli.waiting import waiting
from reconciler.pulls.merging import Merge
from reconciler.target.compaction import Outdated
from reconciler.target.removable import Garbage, NotCollected
from reconciler.upkeep.caller import Caller
from reconciler.upkeep.gc import remove_garbage


def gc(
    file: FileOption = MIRRORS,
    store: StoreOption = None,
    only: OnlyOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation on a terminal.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed and stop.")] = False,
    lock_timeout: LockTimeoutOption = 0.0,
    output: PlainFormatOption = TEXT,
    _verbose: VerboseOption = 0,
) -> int:
    """Remove blobs and manifests that nothing references any more.

    An object is kept if a tag references it, or a digest that lost its last tag less than `retain` ago. Every apply
    collects the garbage it knows of; gc checks every repository of the mirror index that belongs to the file's `name`.
    Without --only, it also removes versions of the mirror index that are older than `history`, and counts of pulls
    that are older than 90 days, and merges the counts of earlier days into one object a day. Asks for confirmation on a
    terminal.
    """
    mirrors = load(file, store)
    target = open_bucket(mirrors)
    caller = Caller(command_line(), lock_timeout, tell_waiting, waiting)
    if not (dry_run or yes) and sys.stdin.isatty():
        _confirm(remove_garbage(mirrors, target, caller, only or (), dry_run=True))
    found = remove_garbage(mirrors, target, caller, only or (), dry_run=dry_run)
    show_result(garbage_view(dry_run=dry_run), found, output)
    return 1 if any(isinstance(one, NotCollected) for one in found) else 0


def _confirm(seen: Sequence[Garbage | NotCollected | Outdated | Merge]) -> None:
    """Raises `PlanRefused` unless what would be removed is agreed to on the terminal."""
    if any(isinstance(one, Garbage | Outdated) and one.objects for one in seen):
        shown = partial(garbage_text, seen, dry_run=True)
        agreed(garbage_summary(seen, dry_run=True), shown, "Remove it?", "remove", "Nothing was removed.")
