"""What a caller decides about an apply, and the plan that is made or read for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.plan.make import Made, in_silence, load_made, make, nothing
from reconciler.plan.settings import ALL, Choices
from reconciler.work.deadline import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from reconciler.apply.cluster import Cluster
    from reconciler.apply.settings import Holding
    from reconciler.mirrors.model import Mirrors
    from reconciler.plan.connections import Connections
    from reconciler.plan.make import Stage
    from reconciler.work.deadline import Deadline


class Options(Frozen):
    """What a caller decides about an apply.

    command         what the lock names this run by
    choices         what the plan is made for
    no_prune        add and update only
    plan_again      if the mirror index has changed since the plan was made, plan again instead of refusing
    workers         blobs to copy in parallel; None: as many as the cluster has threads, or 8
    cluster         the Dask cluster that copies the blobs; None: this process
    lock_timeout    seconds to wait for another run
    wait_for_quota  wait for a registry's quota instead of skipping what does not fit
    deadline        when the run has to end, finished or not
    overwrite_drift  move and delete tags that another writer of the target has moved, too
    hold            why the tags that it publishes are held; None: they are not
    """

    command: str
    choices: Choices = ALL
    no_prune: bool = False
    plan_again: bool = False
    workers: int | None = None
    cluster: Cluster | None = None
    lock_timeout: float = 0.0
    wait_for_quota: bool = False
    deadline: Deadline = NEVER
    overwrite_drift: bool = False
    hold: Holding | None = None


def made_for_apply(
    mirrors: Mirrors,
    connections: Connections,
    options: Options,
    stage: Stage = in_silence,
    meanwhile: Callable[[], None] = nothing,
) -> Made:
    """Makes the plan that an apply with these options applies. Arguments and errors are those of `make`."""
    return _within(make(mirrors, connections, options.choices, stage=stage, meanwhile=meanwhile), options)


def saved_for_apply(path: Path, mirrors: Mirrors, file: Path, connections: Connections, options: Options) -> Made:
    """Reads the plan saved at `path` instead of making one. Raises as `load_made` does."""
    made = load_made(path, mirrors, file, connections)
    return _within(replace(made, plan=replace(made.plan, allow_prune=options.choices.allow_prune)), options)


def _within(made: Made, options: Options) -> Made:
    # Imported here: `make` has loaded it while the sources answered.
    from reconciler.plan.plan import only_adds, without_prunes

    if options.choices.only_missing:
        return replace(made, plan=only_adds(made.plan))
    return replace(made, plan=without_prunes(made.plan)) if options.no_prune else made
