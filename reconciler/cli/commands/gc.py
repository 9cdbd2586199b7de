"""`r2mirror gc`."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.console import (
    MIRRORS,
    FileOption,
    LockTimeoutOption,
    OnlyOption,
    PlainFormat,
    PlainFormatOption,
    VerboseOption,
    agreed,
    command_line,
    load,
    open_bucket,
    show,
    show_json,
    tell_waiting,
    terminal,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.target.garbage import Garbage, NotCollected
    from reconciler.target.index import RepositoryState


def gc(
    file: FileOption = MIRRORS,
    only: OnlyOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask where there is a terminal.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, and remove nothing.")] = False,
    lock_timeout: LockTimeoutOption = 0.0,
    output: PlainFormatOption = PlainFormat.TEXT,
    _verbose: VerboseOption = 0,
) -> int:
    """Remove blobs and manifests that nothing reaches any more.

    What no tag reaches, and no digest that lost its last tag less than `retain` ago. An apply does this by itself where
    it knows of something; this looks at every repository of the mirror index that belongs to the file's `name`. Asks
    first on a terminal.
    """
    from reconciler.cli.progress import waiting
    from reconciler.cli.render.upkeep import garbage_document, garbage_text
    from reconciler.mirrors.only import check_only, matches_only
    from reconciler.target.garbage import NotCollected, collect_garbage
    from reconciler.target.ledger import read_index
    from reconciler.target.lock import held
    from reconciler.work.threads import BLOB_WORKERS, threads

    mirrors = load(file)
    stores = open_bucket(mirrors)
    check_only(only or [], mirrors, lambda: read_index(stores.state).index.repositories)

    def wanted(target: str, state: RepositoryState) -> bool:
        return matches_only(target, only or []) and mirrors.owns(target, state.owner)

    retain = mirrors.retention()
    with threads(BLOB_WORKERS) as executor:
        if not (dry_run or yes) and sys.stdin.isatty():
            with waiting("Looking through the bucket ..."):
                seen = list(collect_garbage(stores, wanted, retain, executor, None))
            _confirm(seen)
        lock = nullcontext() if dry_run else held(stores.state, command_line(), lock_timeout, tell_waiting)
        with lock as lease, waiting("Looking through the bucket ..."):
            found = list(collect_garbage(stores, wanted, retain, executor, lease))
    match output:
        case PlainFormat.TEXT:
            show(garbage_text(found, dry_run=dry_run, **terminal(sys.stdout)))
        case PlainFormat.JSON:
            show_json(garbage_document(found, dry_run=dry_run))
    return 1 if any(isinstance(one, NotCollected) for one in found) else 0


def _confirm(seen: Sequence[Garbage | NotCollected]) -> None:
    """Raises `PlanRefused` unless what would be removed is agreed to on the terminal."""
    from reconciler.cli.render.upkeep import garbage_summary, garbage_text
    from reconciler.target.garbage import Garbage

    if any(isinstance(one, Garbage) and one.objects for one in seen):
        shown = partial(garbage_text, seen, dry_run=True)
        agreed(garbage_summary(seen, dry_run=True), shown, "Remove it?", "remove", "Nothing was removed.")
