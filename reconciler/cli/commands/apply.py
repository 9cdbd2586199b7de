"""`r2mirror apply`."""

from __future__ import annotations

import os
import sys
import time
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.commands.plan import failing, show_plan
from reconciler.cli.console import (
    MIRRORS,
    AllowPruneOption,
    FileOption,
    Format,
    LockTimeoutOption,
    OnlyOption,
    PlainFormat,
    PlainFormatOption,
    StrictOption,
    TimeoutOption,
    VerboseOption,
    YesOption,
    agreed,
    command_line,
    complain,
    load,
    note,
    show,
    show_json,
    tell_waiting,
    terminal,
    warn,
)
from reconciler.errors import MirrorError, UsageError
from reconciler.work.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.apply.apply import Options
    from reconciler.apply.cluster import Cluster
    from reconciler.apply.outcome import Event
    from reconciler.cli.progress import Tally
    from reconciler.mirrors.model import Mirrors
    from reconciler.plan.connections import Connections
    from reconciler.plan.make import Made
    from reconciler.plan.plan import Plan


def _rate(text: str) -> float:
    from reconciler.sources.bandwidth import parse_bandwidth

    try:
        return parse_bandwidth(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def apply(
    plan_file: Annotated[
        Path | None,
        typer.Argument(
            metavar="PLAN", help="A plan saved by `r2mirror plan --out`: do exactly this.", show_default=False
        ),
    ] = None,
    file: FileOption = MIRRORS,
    only: OnlyOption = None,
    yes: YesOption = False,
    no_prune: Annotated[bool, typer.Option("--no-prune", help="Add and update, remove nothing.")] = False,
    allow_prune: AllowPruneOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, as plan does, and stop.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", min=1, max=128, help="Blobs to copy at once; 8 if not given."),
    ] = None,
    bandwidth: Annotated[
        float | None,
        typer.Option("--bandwidth", metavar="RATE", parser=_rate, help="Download no faster, as in 20MiB/s."),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option("--dask", metavar="ADDRESS", help="Have a Dask cluster carry the blobs, as in tls://host:8786."),
    ] = None,
    dask_insecure: Annotated[
        bool,
        typer.Option("--dask-insecure", help="Let that be tcp://: who reaches the scheduler can run programs here."),
    ] = False,
    lock_timeout: LockTimeoutOption = 0.0,
    timeout: TimeoutOption = None,
    wait_for_quota: Annotated[
        bool,
        typer.Option("--wait-for-quota", help="Where Docker Hub gives too few pulls just now, wait for more."),
    ] = False,
    strict: StrictOption = False,
    output: PlainFormatOption = PlainFormat.TEXT,
    _verbose: VerboseOption = 0,
) -> int:
    """Make the bucket as mirrors.yaml says.

    Copies what is missing, moves tags, prunes what is not wanted any more. Asks first on a terminal. Ctrl-C stops
    cleanly; what was done is recorded and the next apply goes on from there.
    """
    from reconciler.apply.apply import Options, made_for_apply, saved_for_apply
    from reconciler.cli.progress import waiting
    from reconciler.plan.connections import connect

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
            show_plan(made.plan, Format(output))
            return 1 if failing(made.plan, strict=strict) else 0
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
    from reconciler.apply.cluster import Place, connected

    with connected(address, Place.of(mirrors, bandwidth), insecure=insecure) as cluster:
        note(f"blobs are carried by {cluster.slots} threads of the workers at {address}")
        yield cluster


def _tell_quota(words: str) -> None:
    """Says on stderr which quota is waited for."""
    note(f"waiting: {words}")


def _confirm(made: Plan, *, yes: bool) -> None:
    """Raises `PlanRefused` unless the user, or `--yes`, agrees to the plan."""
    from reconciler.cli.render.plan import plan_text, summary_line

    if not yes and made.has_changes:
        agreed(summary_line(made), partial(plan_text, made), "Apply this?", "apply", "Not applied.")


def _apply(
    made: Made, mirrors: Mirrors, connections: Connections, options: Options, output: PlainFormat, *, strict: bool
) -> int:
    """Applies a plan, shows what becomes of it, and returns the exit code."""
    from reconciler.apply.apply import Watch, apply_made
    from reconciler.cli.memory import share_arenas
    from reconciler.cli.progress import shown, waiting

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
        from reconciler.apply.outcome import Done, Failed, Replanned, Skipped
        from reconciler.cli.render.plan import is_held_back, outcome_line

        if isinstance(event, Replanned):
            self._plan = event.plan
            return
        self.events.append(event)
        if isinstance(event, Done | Failed | Skipped):
            if self._output is PlainFormat.TEXT and not is_held_back(event):
                self._show(outcome_line(event, **terminal(sys.stdout)))
            progress.settled(event)

    def close(self, size: int) -> None:
        from reconciler.apply.outcome import Took
        from reconciler.cli.render.plan import closing_text, outcome_document

        took = Took(size, time.monotonic() - self._started)
        match self._output:
            case PlainFormat.TEXT:
                words = terminal(sys.stdout)
                self._show(closing_text(self._plan, self.events, took, interrupted=self.interrupted, **words))
            case PlainFormat.JSON:
                show_json(outcome_document(self._plan, self.events, took, interrupted=self.interrupted))
        if self._broken:
            raise self._broken

    def judged(self, *, strict: bool) -> int:
        """Says on stderr what was wrong with the plan, and returns the exit code."""
        from reconciler.apply.outcome import Failed, Skipped
        from reconciler.cli.render.plan import troubles
        from reconciler.target.garbage import NotCollected

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
