"""What a call of apply asks for, and the plan that it gets. `apply_end` has what is done with that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.apply.planned import Options, made_for_apply, saved_for_apply
from reconciler.cli.accounts import Accounts
from reconciler.cli.console import command_line, note
from reconciler.cli.inputs import load_for_run
from reconciler.cli.options import (
    AcceptMovedOption,
    AcceptPresentOption,
    AllowPruneOption,
    BoxOption,
    FilesOption,
    KeyOption,
    LockedOption,
    LockTimeoutOption,
    NoPruneOption,
    NowOption,
    OnlyMissingOption,
    OnlyOption,
    PlainFormatOption,
    StoresOption,
    StrictOption,
    TimeoutOption,
    VerboseOption,
    WorkersOption,
    YesOption,
    consent_of,
    rate,
)
from reconciler.cli.render.formats import TEXT
from reconciler.cli.waiting import waiting
from reconciler.frozen import Frozen
from reconciler.plan.make import nothing
from reconciler.plan.settings import Choices

if TYPE_CHECKING:
    from reconciler.apply.cluster import Cluster
    from reconciler.mirrors.model import Mirrors
    from reconciler.plan.ages import Consent
    from reconciler.plan.connections import Connections
    from reconciler.plan.make import Made
    from reconciler.work.deadline import Deadline


class Call(Frozen):
    """What a call of apply asks for."""

    plan_file: Annotated[
        Path | None,
        typer.Argument(
            metavar="PLAN", help="Apply exactly this plan, saved by `r2mirror plan --out`.", show_default=False
        ),
    ] = None
    files: FilesOption = None
    store: StoresOption = None
    only: OnlyOption = None
    only_missing: OnlyMissingOption = False
    locked: LockedOption = False
    yes: YesOption = False
    no_prune: NoPruneOption = False
    allow_prune: AllowPruneOption = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False
    workers: WorkersOption = None
    bandwidth: Annotated[
        float | None,
        typer.Option("--bandwidth", metavar="RATE", parser=rate, help="Limit the total download rate, e.g. 20MiB/s."),
    ] = None
    dask: Annotated[
        str | None,
        typer.Option("--dask", metavar="ADDRESS", help="Copy the blobs on a Dask cluster, e.g. tls://host:8786."),
    ] = None
    dask_insecure: Annotated[
        bool,
        typer.Option(
            "--dask-insecure", help="Allow tcp://. Anyone who can reach the scheduler can then run code here."
        ),
    ] = False
    lock_timeout: LockTimeoutOption = 0.0
    timeout: TimeoutOption = None
    wait_for_quota: Annotated[
        bool,
        typer.Option(
            "--wait-for-quota", help="If the pull quota is exhausted, wait for it to reset instead of skipping images."
        ),
    ] = False
    now: NowOption = None
    accept_present: AcceptPresentOption = False
    accept_moved: AcceptMovedOption = None
    boxes: BoxOption = None
    keys: KeyOption = None
    allow_older: Annotated[
        bool, typer.Option("--allow-older", help="With --from: apply a box that is older than the one before it.")
    ] = False
    overwrite_drift: Annotated[
        bool,
        typer.Option(
            "--overwrite-drift",
            help="Also move and delete tags of the plan that another writer of the target has moved.",
        ),
    ] = False
    metrics_file: Annotated[
        Path | None,
        typer.Option(
            "--metrics-file",
            metavar="FILE",
            help="Also write Prometheus metrics of this run, e.g. for node_exporter's textfile collector.",
            show_default=False,
        ),
    ] = None
    strict: StrictOption = False
    output: PlainFormatOption = TEXT
    _verbose: VerboseOption = 0


def mirrors_of(call: Call, file: Path) -> Mirrors:
    """Loads a mirrors file for the call."""
    return load_for_run(file, call.only or (), locked=call.locked, offline=bool(call.plan_file or call.boxes))


def plan_of(
    call: Call,
    file: Path,
    mirrors: Mirrors,
    connections: Connections,
    options: Options,
    meanwhile: Callable[[], None] = nothing,
) -> Made:
    """Reads the saved plan, or makes one; `meanwhile` is that of `make`."""
    if call.plan_file:
        return saved_for_apply(call.plan_file, mirrors, file, connections, options)
    return made_for_apply(mirrors, connections, options, waiting, meanwhile)


def options_of(call: Call, only: tuple[str, ...], cluster: Cluster | None, deadline: Deadline) -> Options:
    """Returns how the call wants a plan to be made and applied."""
    return Options(
        command_line(),
        Choices(only, allow_prune=call.allow_prune, only_missing=call.only_missing, consent=consents(call)),
        no_prune=call.no_prune,
        # A box was checked for one plan: another one may publish what it lacks.
        plan_again=call.yes and not call.plan_file and not call.boxes,
        workers=call.workers,
        cluster=cluster,
        lock_timeout=call.lock_timeout,
        wait_for_quota=call.wait_for_quota,
        deadline=deadline,
        overwrite_drift=call.overwrite_drift,
    )


def consents(call: Call) -> Consent:
    """Returns what the call agrees to beforehand."""
    return consent_of(call.now, call.accept_moved, present=call.accept_present)


@contextmanager
def cluster_of(call: Call, *targets: Mirrors) -> Iterator[Cluster | None]:
    """Connects to the cluster that copies the blobs; yields None if this process copies them."""
    if call.dask is None or call.dry_run:
        yield None
        return
    # Imported here, for it imports all that copies, and most runs find nothing to copy.
    from reconciler.apply.cluster import WorkerConfig, connected

    with connected(call.dask, WorkerConfig.of(targets[0], call.bandwidth), insecure=call.dask_insecure) as cluster:
        note(f"blobs are carried by {cluster.slots} threads of the workers at {call.dask}")
        yield cluster


def accounts_of(call: Call) -> Accounts:
    """Returns where the run is accounted for, e.g. in a file of metrics."""
    return Accounts(None if call.dry_run else call.metrics_file)
