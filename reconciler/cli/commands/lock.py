"""`r2mirror lock`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.completion import targets as completed_targets
from reconciler.cli.console import complain, show_result, warn
from reconciler.cli.inputs import load_listed
from reconciler.cli.options import MIRRORS, FileOption, FormatOption, TimeoutOption, VerboseOption, taking
from reconciler.cli.render.formats import TEXT
from reconciler.cli.render.lock import LOCKING
from reconciler.cli.waiting import waiting
from reconciler.errors import UsageError
from reconciler.frozen import Frozen
from reconciler.lockfile.changes import changes
from reconciler.lockfile.file import write_lockfile
from reconciler.lockfile.model import NOTHING_LOCKED, Lockfile
from reconciler.lockfile.parse import lockfile_path, read_lockfile
from reconciler.lockfile.pinned import stale
from reconciler.mirrors.model import Mirrors
from reconciler.plan.connections import connect_each
from reconciler.plan.locking import Locking, lock_tags
from reconciler.work.deadline import Deadline


class Call(Frozen):
    """What a call of lock asks for."""

    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="REPO",
            autocompletion=completed_targets,
            help="With --update: the targets to lock again (default: all).",
            show_default=False,
        ),
    ] = None
    file: FileOption = MIRRORS
    update: Annotated[
        bool, typer.Option("--update", help="Also move tags that are locked to the digests that the sources have now.")
    ] = False
    base: Annotated[
        Path | None,
        typer.Option(
            "--base",
            metavar="LOCKFILE",
            help="Show what differs from this lockfile, e.g. that of the main branch, instead of from the one before.",
        ),
    ] = None
    timeout: TimeoutOption = None
    output: FormatOption = TEXT
    _verbose: VerboseOption = 0


@taking(Call)
def lock(call: Call) -> int:
    """Write the digest of every tag that mirrors.yaml chooses into mirrors.lock.

    `plan --locked` and `apply --locked` then do exactly that. Where the file is there already, locks only mirrors whose
    source, tags, exclude or rename have changed in mirrors.yaml since; --update moves the others too. Images have to be
    signed, and old enough, as for a plan. Writes nothing to the store.
    """
    if call.names and not call.update:
        raise UsageError(f"{call.names[0][:90]}: add --update to lock the tags of one target again")
    path = lockfile_path(call.file)
    before = read_lockfile(path) or NOTHING_LOCKED
    # A list of a namespace is not the reason to lock less than before.
    mirrors = load_listed(call.file).including({target: one.source for target, one in before.repositories.items()})
    _check(call.names or (), mirrors)
    targets = {target for target, _ in stale(mirrors, before)} if not call.update else set(call.names or ())
    if call.update and not call.names:
        targets = {one.target for one in mirrors.mirrors}
    base = _base(call.base) if call.base else before
    locking = _locking(mirrors, before, targets, call)
    write_lockfile(path, locking.lockfile)
    locking = replace(locking, changes=tuple(changes(base, locking.lockfile)))
    for warning in locking.warnings:
        warn(warning)
    errors = (*(one.why for one in mirrors.failed), *locking.errors)
    for error in errors:
        complain(error)
    show_result(LOCKING, locking, call.output)
    return 1 if errors else 0


def _base(path: Path) -> Lockfile:
    found = read_lockfile(path)
    if found is None:
        raise UsageError(f"--base {path}: this file does not exist")
    return found


def _locking(mirrors: Mirrors, before: Lockfile, targets: set[str], call: Call) -> Locking:
    stores = mirrors.targets()
    with (
        connect_each(stores, os.environ, deadline=Deadline(call.timeout)) as (_, connections),
        waiting("Resolving tags ..."),
    ):
        return lock_tags(zip(stores, connections, strict=True), before, targets)


def _check(names: Sequence[str], mirrors: Mirrors) -> None:
    """Raises `UsageError` for a name that is not a target of mirrors.yaml."""
    known = [one.target for one in mirrors.mirrors]
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"the targets are {', '.join(known[:3])}"
            raise UsageError(f"{name[:90]}: mirrors.yaml has no such target; {hint}")
