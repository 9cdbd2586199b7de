"""`r2mirror apply`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reconciler.apply.apply import Options, apply_made, made_for_apply, saved_for_apply
from reconciler.apply.observer import Observer
from reconciler.cli.accounts import Accounts
from reconciler.cli.apply_report import Among, ApplyReport
from reconciler.cli.boxes import check_keys, sourced
from reconciler.cli.console import agreed, command_line, note, show, show_result, tell_waiting, terminal
from reconciler.cli.group import INTERRUPTED
from reconciler.cli.inputs import load_for_run
from reconciler.cli.malloc import share_arenas
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
    files_of,
    rate,
    taking,
)
from reconciler.cli.progress import shown, waiting
from reconciler.cli.render.formats import TEXT, json_text
from reconciler.cli.render.plan import plan_text, summary_line
from reconciler.errors import MirrorError, UsageError
from reconciler.mirrors.model import Mirrors
from reconciler.plan.connections import Connections, connect
from reconciler.plan.consent import check_consent, check_consents
from reconciler.plan.guards import refuse_older_box, will_fail
from reconciler.plan.make import Made
from reconciler.plan.plan import Plan
from reconciler.plan.settings import Choices
from reconciler.work.deadline import Deadline

if TYPE_CHECKING:
    from reconciler.apply.cluster import Cluster
    from reconciler.apply.finished import Account
    from reconciler.cli.render.several import Several
    from reconciler.cli.stores import Opened, Parts
    from reconciler.plan.ages import Consent


@dataclass(frozen=True)
class Call:
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
            help="Also move and delete tags that another writer of the target registry has moved.",
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


@taking(Call)
def apply(call: Call) -> int:
    """Apply mirrors.yaml to the store: copy missing images, move tags, prune the rest.

    Asks for confirmation on a terminal. Ctrl-C stops cleanly: what is done by then is recorded, and the next apply
    continues from there.
    """
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
    files, deadline = files_of(call.files), Deadline(call.timeout)
    if len(files) > 1:
        return _apply_files(call, files, deadline)
    mirrors = _with_planned(call, _loaded(call, files[0]))
    targets = mirrors.targets(call.store or ())
    if mirrors.stores and not call.boxes:
        # Not loaded for a file with one store.
        from reconciler.cli.stores import parts_of

        return _apply_each(call, parts_of(files[0], _planned(call, targets), call.only or ()), deadline)
    if len(targets) > 1:
        raise UsageError("--from fills one store: add --store NAME")
    mirrors = targets[0]
    with (
        _cluster(call, mirrors) as cluster,
        connect(mirrors, os.environ, call.workers, call.bandwidth, deadline) as outside,
        sourced(
            call.boxes or (), mirrors, outside, call.only or (), call.keys or (), allow_older=call.allow_older
        ) as given,
        _accounts(call) as accounts,
    ):
        mirrors, connections = given.mirrors, given.connections
        account = accounts.open(mirrors, connections)
        options = _options(call, given.only, cluster, deadline)
        with account.following():
            made = _made(call, files[0], mirrors, connections, options)
        if not call.plan_file:
            check_consent(made.plan, options.choices.consent)
        made = replace(made, plan=given.checked(made.plan))
        if call.dry_run:
            # Imported here: the comment of a pull request is not written by an apply.
            from reconciler.cli.render.markdown import PLAN

            show_result(PLAN, made.plan, call.output)
            return 1 if will_fail(made.plan, strict=call.strict) else 0
        refuse_older_box(made.plan)
        _confirm(made.plan, yes=call.yes)
        report = ApplyReport(made.plan, call.output)
        return _apply(made, mirrors, connections, options, call, report, account)


def _with_planned(call: Call, mirrors: Mirrors) -> Mirrors:
    """Returns the mirrors file with the repositories that a saved plan has of its namespaces."""
    if not (call.plan_file and mirrors.namespaces):
        return mirrors
    from reconciler.plan.files import read_plan

    return mirrors.including({one.target: one.source for one in read_plan(call.plan_file)[0].repositories})


def _planned(call: Call, targets: Sequence[Mirrors]) -> Sequence[Mirrors]:
    """Returns the stores to apply: with a saved plan, the one that it was made for."""
    if not call.plan_file:
        if call.dask and len(targets) > 1:
            raise UsageError("--dask copies to one store: add --store NAME")
        return targets
    # Imported here: a plan that is made and applied in one run is neither saved nor read.
    from reconciler.plan.files import read_plan

    made_for = read_plan(call.plan_file)[0].mirrors_sha256
    # If there is none, the file was edited, which is what any of them says.
    return [one for one in targets if one.sha256 == made_for] or targets[:1]


def _made(call: Call, file: Path, mirrors: Mirrors, connections: Connections, options: Options) -> Made:
    """Reads the saved plan, or makes one."""
    if call.plan_file:
        return saved_for_apply(call.plan_file, mirrors, file, connections, options)
    return made_for_apply(mirrors, connections, options, waiting)


def _loaded(call: Call, file: Path) -> Mirrors:
    return load_for_run(file, call.only or (), locked=call.locked, offline=bool(call.plan_file or call.boxes))


def _apply_files(call: Call, files: Sequence[Path], deadline: Deadline) -> int:
    from reconciler.cli.stores import parts_of_each

    if call.plan_file:
        raise UsageError("a saved plan is for one store: name the one --file that it was made of")
    if call.boxes or call.dask:
        raise UsageError(f"{'--from fills' if call.boxes else '--dask copies to'} one store: name one --file")
    parts = parts_of_each(files, call.store or (), call.only or (), partial(_loaded, call))
    stores = [part.mirrors.store for part in parts.chosen]
    if not (call.yes or call.dry_run) and any(one in stores[:place] for place, one in enumerate(stores)):
        # The index that the second plan was made from, and agreed to, is changed by the first.
        raise UsageError("several of the files have one store: add --yes, or apply each by itself")
    return _apply_each(call, parts, deadline)


def _apply_each(call: Call, parts: Parts, deadline: Deadline) -> int:
    """Applies to several stores, one after the other."""
    from reconciler.cli.render.several import several_document
    from reconciler.cli.stores import held_back, make_each, opened_each

    documents: dict[str, dict[str, Any]] = {}
    code = 0
    with (
        _cluster(call, *(part.mirrors for part in parts.chosen)) as cluster,
        opened_each(parts.chosen, deadline, call.workers, call.bandwidth) as opened,
        _accounts(call) as accounts,
    ):
        account = {one.part.name: accounts.open(one.part.mirrors, one.connections) for one in opened}
        options = {part.name: _options(call, part.only, cluster, deadline) for part in parts.chosen}

        def made_for(one: Opened) -> Made:
            part = one.part
            with account[part.name].following():
                return _made(call, part.file, part.mirrors, one.connections, options[part.name])

        found = make_each(parts, opened, made_for)
        if not call.plan_file:
            check_consents([made.plan for made in found.results.values()], _consent(call))
        if call.dry_run:
            return _show_each(found, call)
        _confirm_each(found, yes=call.yes)
        errors = dict(found.errors)
        for one in opened:
            name, mirrors = one.part.name, one.part.mirrors
            made = found.results.get(name)
            if made and code != INTERRUPTED:
                report = ApplyReport(made.plan, call.output, _among(name, parts.kind, documents))
                with held_back(name, errors):
                    ended = _apply(made, mirrors, one.connections, options[name], call, report, account[name])
                    code = max(code, ended)
                    one.sources.filled(mirrors, one.connections.target)
    if call.output != TEXT:
        show(json_text(several_document(documents, errors)))
    return code if code == INTERRUPTED or not errors else 1


def _among(name: str, kind: str, documents: dict[str, dict[str, Any]]) -> Among:
    from reconciler.cli.render.several import heading

    return Among(name, kind, heading(name, **terminal(sys.stdout)), documents)


def _show_each(found: Several[Made], call: Call) -> int:
    """Shows the plans for several stores, and returns the exit code of a dry run."""
    from reconciler.cli.render.markdown import PLAN, plan_blocks
    from reconciler.cli.render.several import several_view

    plans = found.each(lambda made: made.plan)
    show_result(several_view(PLAN, plan_blocks), plans, call.output)
    return 1 if plans.errors or any(will_fail(one, strict=call.strict) for one in plans.results.values()) else 0


def _confirm_each(found: Several[Made], *, yes: bool) -> None:
    """Raises `PlanRefused` unless the user, or `--yes`, agrees to the plans for all stores."""
    from reconciler.cli.render.several import several_text

    plans = found.each(lambda made: made.plan)
    if not yes and any(one.has_changes for one in plans.results.values()):
        summary = " ".join(f"{name}: {summary_line(one)}" for name, one in plans.results.items())
        agreed(summary, partial(several_text, plans, plan_text), "Apply this?", "apply", "Not applied.")


def _options(call: Call, only: tuple[str, ...], cluster: Cluster | None, deadline: Deadline) -> Options:
    return Options(
        command_line(),
        Choices(only, allow_prune=call.allow_prune, only_missing=call.only_missing, consent=_consent(call)),
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


def _consent(call: Call) -> Consent:
    return consent_of(call.now, call.accept_moved, present=call.accept_present)


@contextmanager
def _cluster(call: Call, *targets: Mirrors) -> Iterator[Cluster | None]:
    """Connects to the cluster that copies the blobs; yields None if this process copies them."""
    if call.dask is None or call.dry_run:
        yield None
        return
    # Imported here, for it imports all that copies, and most runs find nothing to copy.
    from reconciler.apply.cluster import WorkerConfig, connected

    with connected(call.dask, WorkerConfig.of(targets[0], call.bandwidth), insecure=call.dask_insecure) as cluster:
        note(f"blobs are carried by {cluster.slots} threads of the workers at {call.dask}")
        yield cluster


def _tell_quota(words: str) -> None:
    """Says on stderr which quota is waited for."""
    note(f"waiting: {words}")


def _confirm(made: Plan, *, yes: bool) -> None:
    """Raises `PlanRefused` unless the user, or `--yes`, agrees to the plan."""
    if not yes and made.has_changes:
        agreed(summary_line(made), partial(plan_text, made), "Apply this?", "apply", "Not applied.")


def _accounts(call: Call) -> Accounts:
    return Accounts(None if call.dry_run else call.metrics_file)


def _apply(
    made: Made,
    mirrors: Mirrors,
    connections: Connections,
    options: Options,
    call: Call,
    report: ApplyReport,
    account: Account,
) -> int:
    """Applies a plan, shows its outcome, and returns the exit code."""
    if made.plan.has_changes:
        # Before the first thread: one that is started gets an arena of its own.
        share_arenas()
    tags = sum(len(repository.changes) for repository in made.plan.repositories)
    with shown(tags, tells=call.output != TEXT) as progress:
        observer = Observer(progress, waiting, tell_waiting, _tell_quota, account.locked, account.recorded)
        account.planned(made.plan)
        try:
            with account.following(), closing(apply_made(made, mirrors, connections, options, observer)) as events:
                for event in events:
                    account.add(event)
                    report.add(event, progress)
        except KeyboardInterrupt:
            # Closing the events has stopped the run and recorded what was done.
            report.interrupted = True
        except MirrorError:
            report.interrupted = True
            # What was done is shown before the error, and a broken stdout must not hide that error.
            if report.events:
                with suppress(UsageError, typer.Exit):
                    report.close(progress.copied_bytes)
            raise
        finally:
            account.copied = progress.copied_bytes
    report.close(progress.copied_bytes)
    if report.interrupted:
        return 130
    return report.exit_code(strict=call.strict)
