"""What is done with the plan of a call of apply: shown, confirmed and carried out."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import typer

from reconciler.apply.apply import apply_made
from reconciler.apply.observer import Observer
from reconciler.cli.apply_report import ApplyReport
from reconciler.cli.console import agreed, note, show_result, tell_waiting
from reconciler.cli.malloc import share_arenas
from reconciler.cli.progress import shown
from reconciler.cli.render.formats import TEXT
from reconciler.cli.render.plan import plan_text, summary_line
from reconciler.cli.waiting import waiting
from reconciler.errors import MirrorError, UsageError
from reconciler.plan.consent import check_consent
from reconciler.plan.guards import refuse_older_box, will_fail

if TYPE_CHECKING:
    from reconciler.apply.finished import Account
    from reconciler.apply.planned import Options
    from reconciler.cli.apply_call import Call
    from reconciler.cli.boxes import Sourced
    from reconciler.mirrors.model import Mirrors
    from reconciler.plan.connections import Connections
    from reconciler.plan.make import Made
    from reconciler.plan.plan import Plan


def finish(call: Call, made: Made, given: Sourced, options: Options, account: Account) -> int:
    """Shows the plan, or applies it once it is agreed to, and returns the exit code."""
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
    return carry_out(made, given.mirrors, given.connections, options, call, report, account)


def _confirm(made: Plan, *, yes: bool) -> None:
    """Raises `PlanRefused` unless the user, or `--yes`, agrees to the plan."""
    if not yes and made.has_changes:
        agreed(summary_line(made), partial(plan_text, made), "Apply this?", "apply", "Not applied.")


def _tell_quota(words: str) -> None:
    """Says on stderr which quota is waited for."""
    note(f"waiting: {words}")


def carry_out(
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
