"""`r2mirror apply`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.apply.cluster import Cluster

import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from reconciler.apply.apply import Options, Watch, apply_made, made_for_apply, saved_for_apply
from reconciler.apply.outcome import Done, Event, Failed, Replanned, Skipped, Took
from reconciler.cli.console import agreed, command_line, complain, note, show, tell_waiting, terminal, warn
from reconciler.cli.inputs import load
from reconciler.cli.memory import share_arenas
from reconciler.cli.options import (
    MIRRORS,
    AllowPruneOption,
    FileOption,
    LockTimeoutOption,
    OnlyOption,
    PlainFormat,
    PlainFormatOption,
    StrictOption,
    TimeoutOption,
    VerboseOption,
    YesOption,
)
from reconciler.cli.progress import Tally, shown, waiting
from reconciler.cli.render.formats import written
from reconciler.cli.render.markdown import PLAN
from reconciler.cli.render.outcome import is_held_back, outcome_line, outcome_view
from reconciler.cli.render.plan import plan_text, summary_line, troubles
from reconciler.cli.showing import show_result
from reconciler.errors import MirrorError, UsageError
from reconciler.mirrors.model import Mirrors
from reconciler.plan.connections import Connections, connect
from reconciler.plan.guards import will_fail
from reconciler.plan.make import Made
from reconciler.plan.plan import Plan
from reconciler.sources.bandwidth import parse_bandwidth
from reconciler.target.garbage import NotCollected
from reconciler.work.deadline import Deadline


def _rate(text: str) -> float:
    try:
        return parse_bandwidth(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def apply(
    plan_file: Annotated[
        Path | None,
        typer.Argument(
            metavar="PLAN", help="Apply exactly this plan, saved by `r2mirror plan --out`.", show_default=False
        ),
    ] = None,
    file: FileOption = MIRRORS,
    only: OnlyOption = None,
    yes: YesOption = False,
    no_prune: Annotated[bool, typer.Option("--no-prune", help="Add and update only; prune nothing.")] = False,
    allow_prune: AllowPruneOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", metavar="N", min=1, max=128, help="Number of blobs to copy in parallel (default: 8)."
        ),
    ] = None,
    bandwidth: Annotated[
        float | None,
        typer.Option("--bandwidth", metavar="RATE", parser=_rate, help="Limit the total download rate, e.g. 20MiB/s."),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option("--dask", metavar="ADDRESS", help="Copy the blobs on a Dask cluster, e.g. tls://host:8786."),
    ] = None,
    dask_insecure: Annotated[
        bool,
        typer.Option(
            "--dask-insecure", help="Allow tcp://. Anyone who can reach the scheduler can then run code here."
        ),
    ] = False,
    lock_timeout: LockTimeoutOption = 0.0,
    timeout: TimeoutOption = None,
    wait_for_quota: Annotated[
        bool,
        typer.Option(
            "--wait-for-quota", help="If the pull quota is exhausted, wait for it to reset instead of skipping images."
        ),
    ] = False,
    strict: StrictOption = False,
    output: PlainFormatOption = PlainFormat.TEXT,
    _verbose: VerboseOption = 0,
) -> int:
    """Apply mirrors.yaml to the bucket: copy missing images, move tags, prune the rest.

    Asks for confirmation on a terminal. Ctrl-C stops cleanly: what is done by then is recorded, and the next apply
    continues from there.
    """

    if plan_file and only:
        raise UsageError("a saved plan is done as a whole: leave out --only, or plan again with it")
    mirrors, deadline = load(file), Deadline(timeout)
    with (
        _cluster(None if dry_run else dask, mirrors, bandwidth, insecure=dask_insecure) as cluster,
        connect(mirrors, os.environ, workers, bandwidth, deadline) as connections,
    ):
        options = Options(
            command_line(),
            tuple(only or ()),
            no_prune=no_prune,
            allow_prune=allow_prune,
            plan_again=yes and not plan_file,
            workers=workers,
            cluster=cluster,
            lock_timeout=lock_timeout,
            wait_for_quota=wait_for_quota,
            deadline=deadline,
        )
        if plan_file:
            made = saved_for_apply(plan_file, mirrors, file, connections, options)
        else:
            made = made_for_apply(mirrors, connections, options, waiting)
        if dry_run:
            show_result(PLAN, made.plan, output)
            return 1 if will_fail(made.plan, strict=strict) else 0
        _confirm(made.plan, yes=yes)
        return _apply(made, mirrors, connections, options, output, strict=strict)


@contextmanager
def _cluster(
    address: str | None, mirrors: Mirrors, bandwidth: float | None, *, insecure: bool
) -> Iterator[Cluster | None]:
    """Connects to the cluster that copies the blobs; gives None where this process does."""
    if address is None:
        yield None
        return

    # It brings along what copies, which a run that finds nothing new does not need.
    from reconciler.apply.cluster import Place, connected

    with connected(address, Place.of(mirrors, bandwidth), insecure=insecure) as cluster:
        note(f"blobs are carried by {cluster.slots} threads of the workers at {address}")
        yield cluster


def _tell_quota(words: str) -> None:
    """Says on stderr which quota is waited for."""
    note(f"waiting: {words}")


def _confirm(made: Plan, *, yes: bool) -> None:
    """Raises `PlanRefused` unless the user, or `--yes`, agrees to the plan."""
    if not yes and made.has_changes:
        agreed(summary_line(made), partial(plan_text, made), "Apply this?", "apply", "Not applied.")


def _apply(
    made: Made, mirrors: Mirrors, connections: Connections, options: Options, output: PlainFormat, *, strict: bool
) -> int:
    """Applies a plan, shows what becomes of it, and returns the exit code."""
    if made.plan.has_changes:
        share_arenas()
    teller = _Teller(made.plan, output)
    tags = sum(len(repository.changes) for repository in made.plan.repositories)
    with shown(tags, tells=output is PlainFormat.JSON) as progress:
        watch = Watch(progress, waiting, tell_waiting, _tell_quota)
        try:
            with closing(apply_made(made, mirrors, connections, options, watch)) as events:
                for event in events:
                    teller.tell(event, progress)
        except KeyboardInterrupt:
            teller.interrupted = True
        except MirrorError:
            teller.interrupted = True
            if teller.events:
                with suppress(UsageError, typer.Exit):
                    teller.close(progress.copied_bytes)
            raise
    teller.close(progress.copied_bytes)
    if teller.interrupted:
        return 130
    return teller.judged(strict=strict)


class _Teller:
    """Tells on stdout what becomes of a plan: as text each tag when it is settled, as JSON all at the end.

    A stdout that takes no more is no reason to stop the run; `close` complains of it.
    """

    def __init__(self, plan: Plan, output: PlainFormat) -> None:
        self.events: list[Event] = []
        self.interrupted = False
        self._plan = plan
        self._output = output
        self._started = time.monotonic()
        self._broken: UsageError | typer.Exit | None = None

    def tell(self, event: Event, progress: Tally) -> None:
        if isinstance(event, Replanned):
            self._plan = event.plan
            return
        self.events.append(event)
        if isinstance(event, Done | Failed | Skipped):
            if self._output is PlainFormat.TEXT and not is_held_back(event):
                self._show(outcome_line(event, **terminal(sys.stdout)))
            progress.settled(event)

    def close(self, size: int) -> None:
        took = Took(size, time.monotonic() - self._started)
        view = outcome_view(self._plan, took, interrupted=self.interrupted)
        self._show(written(view, self.events, self._output, **terminal(sys.stdout)))
        if self._broken:
            raise self._broken

    def judged(self, *, strict: bool) -> int:
        """Says on stderr what was wrong with the plan, and returns the exit code."""

        errors, warnings = troubles(self._plan), self._plan.all_warnings
        for warning in warnings:
            warn(warning)
        for error in errors:
            complain(error)
        failed = any(isinstance(event, Failed | Skipped | NotCollected) for event in self.events)
        return 1 if errors or failed or (strict and warnings) else 0

    def _show(self, text: str) -> None:
        if self._broken is None:
            try:
                show(text)
            except (UsageError, typer.Exit) as error:
                self._broken = error
