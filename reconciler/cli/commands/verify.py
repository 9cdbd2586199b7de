"""`r2mirror verify`."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import Annotated

import typer

from reconciler.cli.console import command_line, note, tell_waiting
from reconciler.cli.inputs import load
from reconciler.cli.options import (
    MIRRORS,
    FileOption,
    LockTimeoutOption,
    OnlyOption,
    PlainFormat,
    PlainFormatOption,
    VerboseOption,
)
from reconciler.cli.progress import waiting
from reconciler.cli.render.upkeep import VERIFICATION
from reconciler.cli.showing import show_result
from reconciler.mirrors.only import check_only, matches_only
from reconciler.plan.connections import connect
from reconciler.target.index import without_expired
from reconciler.target.ledger import read_index
from reconciler.target.lock import held, read_lock
from reconciler.upkeep.repair import verify as verify_bucket
from reconciler.upkeep.repair import without_index
from reconciler.work.threads import BLOB_WORKERS, threads


def verify(
    file: FileOption = MIRRORS,
    only: OnlyOption = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also read every blob and verify its digest, not only its size.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair broken objects, re-fetching them from the source if necessary.")
    ] = False,
    lock_timeout: LockTimeoutOption = 0.0,
    output: PlainFormatOption = PlainFormat.TEXT,
    _verbose: VerboseOption = 0,
) -> int:
    """Compare the bucket with the mirror index.

    Finds objects that are missing or have the wrong size, bytes or headers, published lists that are out of date, and
    tags that are not in the index. Exits with 1 if a problem is found and not repaired.
    """

    mirrors = load(file)
    with connect(mirrors, os.environ) as connections:
        stores = connections.stores
        check_only(only or [], mirrors, lambda: read_index(stores.state).index.repositories)
        lock = held(stores.state, command_line(), lock_timeout, tell_waiting) if repair else nullcontext()
        with lock as lease, waiting("Looking through the bucket ..."), threads(BLOB_WORKERS) as executor:
            holder = None if lease else read_lock(stores.state)
            if holder and not (holder.has_run_out or holder.has_ended):
                note(f"note: {holder.who} is at work; what it is changing may show up here")
            observed = read_index(stores.state)
            found = verify_bucket(
                stores.public.guarded(lease.check) if lease else stores.public,
                without_expired(observed.index, mirrors.retention(), observed.at),
                lambda target: matches_only(target, only or []),
                executor,
                deep=deep,
                open_source=connections.open_source if repair else None,
            )
            if observed.etag is None:
                found = without_index(found, {mirror.target for mirror in mirrors.mirrors})
    show_result(VERIFICATION, found, output)
    return 1 if found.open else 0
