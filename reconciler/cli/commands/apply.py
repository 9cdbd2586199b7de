"""`r2mirror apply`."""

from __future__ import annotations

import os
from pathlib import Path

from reconciler.cli.apply_call import (
    Call,
    accounts_of,
    cluster_of,
    mirrors_of,
    options_of,
    plan_of,
)
from reconciler.cli.boxes import check_keys, sourced
from reconciler.cli.options import files_of, taking
from reconciler.errors import UsageError
from reconciler.mirrors.model import Mirrors
from reconciler.plan.connections import connect
from reconciler.work.deadline import Deadline


@taking(Call)
def apply(call: Call) -> int:
    """Apply mirrors.yaml to the store: copy missing images, move tags, prune the rest.

    Asks for confirmation on a terminal. Ctrl-C stops cleanly: what is done by then is recorded, and the next apply
    continues from there.
    """
    _check(call)
    files, deadline = files_of(call.files), Deadline(call.timeout)
    if len(files) > 1:
        # Not loaded for one file with one store.
        from reconciler.cli.apply_each import apply_files

        return apply_files(call, files, deadline)
    mirrors = _with_planned(call, mirrors_of(call, files[0]))
    targets = mirrors.targets(call.store or ())
    if mirrors.stores and not call.boxes:
        from reconciler.cli.apply_each import apply_stores

        return apply_stores(call, files[0], targets, deadline)
    if len(targets) > 1:
        raise UsageError("--from fills one store: add --store NAME")
    return _apply(call, files[0], targets[0], deadline)


def _check(call: Call) -> None:
    """Raises `UsageError` for options that exclude each other."""
    if call.plan_file and call.only:
        raise UsageError("a saved plan is applied as a whole: leave out --only, or plan again with it")
    if call.plan_file and (call.now or call.accept_present or call.accept_moved):
        raise UsageError(
            "a saved plan is applied as it is: leave out --now, --accept-present and --accept-moved, or the plan"
        )
    if call.boxes and call.dask:
        raise UsageError("--from and --dask exclude each other: the workers of a cluster do not have the box")
    check_keys(call.boxes, call.keys)
    if call.boxes and call.locked:
        raise UsageError("--from and --locked exclude each other: a box has its own tags and digests")


def _apply(call: Call, file: Path, mirrors: Mirrors, deadline: Deadline) -> int:
    """Applies to one store."""
    with (
        cluster_of(call, mirrors) as cluster,
        connect(mirrors, os.environ, call.workers, call.bandwidth, deadline) as outside,
        sourced(
            call.boxes or (), mirrors, outside, call.only or (), call.keys or (), allow_older=call.allow_older
        ) as given,
        accounts_of(call) as accounts,
    ):
        mirrors, connections = given.mirrors, given.connections
        account = accounts.open(mirrors, connections)
        options = options_of(call, given.only, cluster, deadline)
        with account.following():
            made = plan_of(call, file, mirrors, connections, options, _load_the_rest)
        # Not at the top, see `_load_the_rest`.
        from reconciler.cli.apply_end import finish

        return finish(call, made, given, options, account)


def _load_the_rest() -> None:
    """Imports what is done with a plan, while the sources answer: a run with nothing new is mostly start-up."""
    import reconciler.cli.apply_end  # noqa: F401


def _with_planned(call: Call, mirrors: Mirrors) -> Mirrors:
    """Returns the mirrors file with the repositories that a saved plan has of its namespaces."""
    if not (call.plan_file and mirrors.namespaces):
        return mirrors
    from reconciler.plan.files import read_plan

    return mirrors.including({one.target: one.source for one in read_plan(call.plan_file)[0].repositories})
