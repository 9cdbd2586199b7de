"""`r2mirror verify`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from reconciler.cli.console import command_line, note, show_result, tell_waiting
from reconciler.cli.inputs import load
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
from reconciler.cli.render.upkeep import VERIFICATION
from reconciler.cli.waiting import waiting
from reconciler.plan.connections import connect
from reconciler.upkeep.caller import Caller
from reconciler.upkeep.verify import run_at_work, verify_bucket


def verify(
    file: FileOption = MIRRORS,
    store: StoreOption = None,
    only: OnlyOption = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also read every blob and verify its digest, not only its size.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair broken objects, re-fetching them from the source if necessary.")
    ] = False,
    overwrite_drift: Annotated[
        bool,
        typer.Option(
            "--overwrite-drift", help="With --repair: also move back tags that another writer of the target has moved."
        ),
    ] = False,
    lock_timeout: LockTimeoutOption = 0.0,
    output: PlainFormatOption = TEXT,
    _verbose: VerboseOption = 0,
) -> int:
    """Compare the store with the mirror index.

    Finds objects that are missing or have the wrong size, bytes or headers, published lists that are out of date, and
    tags that are not in the index. Exits with 1 if a problem is found and not repaired.
    """
    mirrors = load(file, store)
    caller = Caller(command_line(), lock_timeout, tell_waiting, waiting)
    with connect(mirrors, os.environ) as connections:
        holder = None if repair else run_at_work(connections.target.state)
        if holder:
            note(f"note: {holder.who} is at work; what it is changing may show up here")
        found = verify_bucket(
            mirrors, connections, caller, only or (), deep=deep, repairs=repair, overwrites_drift=overwrite_drift
        )
    show_result(VERIFICATION, found, output)
    return 1 if found.open else 0
