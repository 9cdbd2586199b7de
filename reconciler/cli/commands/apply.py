"""`r2mirror apply`."""

from __future__ import annotations

import sys
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.commands import plan
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
    opened,
    show,
    show_json,
    tell_waiting,
    terminal,
    warn,
)
from reconciler.errors import MirrorError, PlanRefused, UsageError
from reconciler.work.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.apply.cluster import Cluster
    from reconciler.apply.outcome import Event
    from reconciler.apply.terms import Terms
    from reconciler.mirrors.model import Mirrors
    from reconciler.plan.plan import Plan
    from reconciler.sources import OpenSource
    from reconciler.stores import OpenStores, Stores
    from reconciler.target.ledger import Observed


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
    from reconciler.apply.terms import Terms
    from reconciler.plan.signed import gate_for

    if plan_file and only:
        raise UsageError("a saved plan is done as a whole: leave out --only, or plan again with it")
    mirrors, deadline = load(file), Deadline(timeout)
    with (
        _cluster(None if dry_run else dask, mirrors, bandwidth, insecure=dask_insecure) as cluster,
        opened(mirrors, workers, bandwidth, deadline) as (open_stores, open_source),
    ):

        def planned() -> tuple[Plan, Observed]:
            made, observed = plan.make(
                mirrors, open_stores, open_source, only or [], recheck=False, allow_prune=allow_prune
            )
            return (_without_prunes(made) if no_prune else made), observed

        if plan_file:
            saved, observed = _saved_plan(plan_file, mirrors, file, open_stores)
            saved = replace(saved, allow_prune=allow_prune)
            made = _without_prunes(saved) if no_prune else saved
        else:
            made, observed = planned()
        if dry_run:
            plan.show_plan(made, Format(output))
            return 1 if plan.failing(made, strict=strict) else 0
        _confirm(made, yes=yes)
        plans = [made]

        def plan_again() -> Plan:
            plans.append(planned()[0])
            return plans[-1]

        terms = Terms(
            command_line(),
            mirrors.retention(),
            mirrors.name,
            lock_timeout,
            tell_waiting,
            _tell_quota if wait_for_quota else None,
            deadline,
            plan_again if yes and not plan_file else None,
            named=mirrors.naming(),
            gate=gate_for(mirrors),
        )
        done = _apply(plans, observed, open_stores(), open_source, terms, output, workers, cluster)
        return done or int(strict and bool(plans[-1].all_warnings))


@contextmanager
def _cluster(
    address: str | None, mirrors: Mirrors, bandwidth: float | None, *, insecure: bool
) -> Iterator[Cluster | None]:
    """The cluster that carries the blobs, None where this process does."""
    if address is None:
        yield None
        return
    from reconciler.apply.cluster import Place, connected

    with connected(address, Place.of(mirrors, bandwidth), insecure=insecure) as cluster:
        note(f"blobs are carried by {cluster.slots} threads of the workers at {address}")
        yield cluster


def _tell_quota(words: str) -> None:
    """Says on stderr which quota is waited for."""
    from reconciler.words import plain

    note(f"waiting: {plain(words)}")


def _saved_plan(path: Path, mirrors: Mirrors, file: Path, open_stores: OpenStores) -> tuple[Plan, Observed]:
    """The plan that is saved at `path` and the index that it was made from. Raises `PlanRefused` if it does not fit."""
    from reconciler.apply.apply import moved_on
    from reconciler.plan.files import read_plan
    from reconciler.plan.saved import checked
    from reconciler.target.ledger import read_index

    made = read_plan(path)
    if made.mirrors_sha256 != mirrors.sha256:
        raise PlanRefused((f"{path}: {file} has been edited since this plan was made; nothing was done. Plan again",))
    observed = read_index(open_stores().state)
    if made.etag == observed.etag:
        return checked(made, mirrors, observed.index, str(path)), observed
    if made.has_changes:
        raise moved_on(made, observed)
    return made, observed


def _without_prunes(made: Plan) -> Plan:
    from reconciler.plan.plan import without_prunes

    return without_prunes(made)


def _confirm(made: Plan, *, yes: bool) -> None:
    """Raises `PlanRefused` unless somebody, or `--yes`, agrees to the plan."""
    from reconciler.cli.render.plan import plan_text, summary_line

    if not yes and made.has_changes:
        agreed(summary_line(made), partial(plan_text, made), "Apply this?", "apply", "Not applied.")


def _apply(
    plans: list[Plan],
    observed: Observed | None,
    stores: Stores,
    open_source: OpenSource,
    terms: Terms,
    output: PlainFormat,
    workers: int | None,
    cluster: Cluster | None,
) -> int:
    """Applies the last of `plans`, made from `observed`; the run adds one if it has to plan again."""
    from reconciler.apply.apply import apply as apply_plan
    from reconciler.apply.outcome import Done, Failed, Skipped
    from reconciler.apply.terms import Edges
    from reconciler.cli.memory import share_arenas
    from reconciler.cli.progress import shown
    from reconciler.cli.render.plan import troubles
    from reconciler.target.garbage import NotCollected
    from reconciler.work.threads import BLOB_WORKERS, image_workers, threads

    if plans[-1].has_changes:
        share_arenas()
    wanted = workers or (cluster.slots if cluster else BLOB_WORKERS)
    teller = _Teller(output)
    tags = sum(len(repository.changes) for repository in plans[-1].repositories)
    with shown(tags, tells=output is PlainFormat.JSON) as progress:
        try:
            with threads(image_workers(wanted)) as images, threads(wanted) as blobs:
                edges = Edges(open_source, stores.public, stores.state, images, blobs, progress, wanted, cluster)
                with closing(apply_plan(plans[-1], edges, terms, observed)) as running:
                    for event in running:
                        teller.tell(event)
                        if isinstance(event, Done | Failed | Skipped):
                            progress.settled(event)
        except KeyboardInterrupt:
            teller.interrupted = True
        except MirrorError:
            teller.interrupted = True
            if teller.events:
                with suppress(UsageError, typer.Exit):
                    teller.close(plans[-1], progress.copied_bytes)
            raise
    teller.close(plans[-1], progress.copied_bytes)
    if teller.interrupted:
        return 130
    errors = troubles(plans[-1])
    for warning in plans[-1].all_warnings:
        warn(warning)
    for error in errors:
        complain(error)
    return 1 if errors or any(isinstance(event, Failed | Skipped | NotCollected) for event in teller.events) else 0


class _Teller:
    """Tells on stdout what becomes of a plan: as text each tag when it is settled, as JSON all at the end.

    A stdout that takes no more is no reason to stop the run; `close` complains of it.
    """

    def __init__(self, output: PlainFormat) -> None:
        self.events: list[Event] = []
        self.interrupted = False
        self._output = output
        self._started = time.monotonic()
        self._broken: UsageError | typer.Exit | None = None

    def tell(self, event: Event) -> None:
        from reconciler.apply.outcome import Done, Failed, Skipped
        from reconciler.cli.render.plan import is_held_back, outcome_line

        self.events.append(event)
        is_told = isinstance(event, Done | Failed | Skipped) and not is_held_back(event)
        if self._output is PlainFormat.TEXT and isinstance(event, Done | Failed | Skipped) and is_told:
            self._show(outcome_line(event, **terminal(sys.stdout)))

    def close(self, made: Plan, size: int) -> None:
        from reconciler.apply.outcome import Took
        from reconciler.cli.render.plan import closing_text, outcome_document

        took = Took(size, time.monotonic() - self._started)
        match self._output:
            case PlainFormat.TEXT:
                words = terminal(sys.stdout)
                self._show(closing_text(made, self.events, took, interrupted=self.interrupted, **words))
            case PlainFormat.JSON:
                show_json(outcome_document(made, self.events, took, interrupted=self.interrupted))
        if self._broken:
            raise self._broken

    def _show(self, text: str) -> None:
        if self._broken is None:
            try:
                show(text)
            except (UsageError, typer.Exit) as error:
                self._broken = error
