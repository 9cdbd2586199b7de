"""Applies mirrors.yaml, or a plan made from it, to the bucket. Prints nothing: it yields events.

    from reconciler.apply.apply import apply_made
    from reconciler.apply.planned import Options
    from reconciler.mirrors.load import load_mirrors
    from reconciler.plan.connections import connect
    from reconciler.plan.make import make

    mirrors = load_mirrors(Path("mirrors.yaml"), os.environ)
    with connect(mirrors, os.environ) as connections:
        made = make(mirrors, connections)
        with closing(apply_made(made, mirrors, connections, Options("my program"))) as events:
            for event in events:
                print(event)

A plan is applied under the lock, and only to the mirror index that it was made from. If there is nothing to do, the
lock is not taken and nothing is written. `run` has the order of writes.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.apply.observer import UNOBSERVED, Observer
from reconciler.apply.outcome import ImmutableTagMoved, Replanned
from reconciler.apply.planned import Options, made_for_apply
from reconciler.apply.settings import Resources, Settings
from reconciler.plan.guards import refuse_older_box
from reconciler.plan.make import Made, moved_on
from reconciler.plan.owners import is_unclaimed
from reconciler.plan.plan import noted_all
from reconciler.plan.signatures import gate_for
from reconciler.target.index_changes import expired
from reconciler.target.ledger import read_index
from reconciler.target.lock import held, read_lock
from reconciler.target.protocol import PackedInOneFile
from reconciler.work.threads import BLOB_WORKERS, image_workers, threads

if TYPE_CHECKING:
    from reconciler.apply.outcome import Event
    from reconciler.mirrors.model import Mirrors
    from reconciler.plan.connections import Connections
    from reconciler.plan.plan import Plan
    from reconciler.target.ledger import StoredIndex
    from reconciler.target.protocol import Target


def apply_made(
    made: Made, mirrors: Mirrors, connections: Connections, options: Options, observer: Observer = UNOBSERVED
) -> Generator[Event, None, None]:
    """Applies a plan and yields the outcome of each change. Close the generator to stop early.

    A change that fails is an event. `Replanned` replaces the plan for all that follows. Raises as `apply` does.
    """
    refuse_older_box(made.plan)
    workers = options.workers or (options.cluster.slots if options.cluster else BLOB_WORKERS)

    def plan_again() -> Plan:
        return made_for_apply(mirrors, connections, options, observer.stage).plan

    settings = Settings(
        options.command,
        mirrors.retention(),
        mirrors.name,
        options.lock_timeout,
        observer.waiting,
        observer.waiting_quota if options.wait_for_quota else None,
        options.deadline,
        plan_again if options.plan_again else None,
        named=mirrors.naming(),
        gate=gate_for(mirrors),
        saved_plan=made.saved,
        overwrite_drift=options.overwrite_drift,
        locked=observer.locked,
        recorded=observer.recorded,
        hold=options.hold,
    )
    target, open_source = connections.target, connections.open_source
    with threads(image_workers(workers)) as images, threads(workers) as blobs:
        resources = Resources(open_source, target, images, blobs, observer.progress, workers, options.cluster)
        yield from apply(made.plan, resources, settings, made.observed)


def apply(
    plan: Plan, resources: Resources, settings: Settings, observed: StoredIndex | None = None
) -> Generator[Event, None, None]:
    """Applies a plan with `resources` and yields the outcome of each change. Close the generator to stop early.

    `observed` is the mirror index that the plan was made from, if the caller still has it: it saves a request.
    A change that fails is an event. Raises `LockHeld`, `LockLost`, `PlanRefused` if the index is not the one that the
    plan was made from, and `StoreError` if the store itself fails. What was done by then is recorded.
    """
    yield from moved_tags(plan)
    if not plan.has_changes and not _has_other_work(plan, resources.target, settings, observed):
        return
    # Most runs find nothing new: they do not pay for importing what copies.
    from reconciler.apply.run import Run

    patience = min(settings.lock_timeout, settings.deadline.left)
    asked = time.monotonic()
    with held(resources.target.state, settings.command, patience, settings.waiting) as lease:
        settings.locked(time.monotonic() - asked)
        # Read again under the lock: another run may have written it between the plan and here.
        observed = read_index(resources.target.state, observed)
        if plan.etag != observed.etag:
            if settings.plan_again is None:
                raise moved_on(plan, observed)
            plan = settings.plan_again()
            settings = replace(settings, saved_plan=None)
            yield Replanned(plan)
            yield from moved_tags(plan)
            observed = read_index(resources.target.state, observed)
        # If this run is killed or fails from here on, its lock stays behind as a sign: the next run that takes it over
        # publishes all lists again and collects what this one left half done.
        lease.unfinished = True
        yield from Run(plan, resources, settings, observed, lease).events()
        if isinstance(resources.target, PackedInOneFile):
            resources.target.pack(lease.confirm)
        lease.unfinished = False


def moved_tags(plan: Plan) -> Iterator[ImmutableTagMoved]:
    """Yields the immutable tags that moved at their sources."""
    for repository in plan.repositories:
        for one in repository.ages.moved:
            yield ImmutableTagMoved(repository.target, one.tag, one.before, one.after)


def _has_other_work(plan: Plan, target: Target, settings: Settings, observed: StoredIndex | None) -> bool:
    """Returns whether something is left to do without a change.

    That is after a run that died, for a file that is not packed, for a repository without an owner, for news of a
    source that the index notes, and for a retired digest whose time is over.
    """
    left = read_lock(target.state)
    if left and left.has_run_out:
        return True
    if isinstance(target, PackedInOneFile) and not target.is_packed():
        return True
    known = observed or read_index(target.state)
    if noted_all(known.index, plan, known.at) is not known.index:
        return True
    return any(is_unclaimed(known.index, one.target) for one in plan.repositories) or any(
        one.owner == settings.name and expired(one, settings.retain(target), known.at)
        for target, one in known.index.repositories.items()
    )
