"""`r2mirror adopt`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from reconciler.cli.console import agreed, command_line, note, show_result, tell_waiting
from reconciler.cli.inputs import load_listed, open_bucket
from reconciler.cli.options import (
    MIRRORS,
    FileOption,
    LockTimeoutOption,
    OnlyOption,
    PlainFormatOption,
    StoreOption,
    VerboseOption,
    YesOption,
)
from reconciler.cli.render.formats import TEXT
from reconciler.cli.render.upkeep import survey_summary, survey_text, survey_view
from reconciler.cli.waiting import waiting
from reconciler.upkeep.adopt import adopt_bucket, survey_bucket
from reconciler.upkeep.caller import Caller
from reconciler.upkeep.survey import Survey


def adopt(
    file: FileOption = MIRRORS,
    store: StoreOption = None,
    only: OnlyOption = None,
    yes: YesOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be taken over and stop.")] = False,
    lock_timeout: LockTimeoutOption = 0.0,
    output: PlainFormatOption = TEXT,
    _verbose: VerboseOption = 0,
) -> int:
    """Take over what is already in the store; copies no blob.

    For a bucket that was filled by hand or by another tool, and for a mirror index that was lost or damaged. Shows what
    it will do, and asks for confirmation on a terminal. Leaves alone what mirrors.yaml does not name.
    """
    mirrors = load_listed(file).only_target(store)
    target = open_bucket(mirrors)
    caller = Caller(command_line(), lock_timeout, tell_waiting, waiting)
    found = survey_bucket(mirrors, target, caller, only or ())
    failures: tuple[str, ...] = ()
    if found.has_changes and not dry_run:
        _confirm(found, yes=yes)
        adopted = adopt_bucket(mirrors, target, caller, only or (), None if yes else found)
        found, failures = adopted.survey, adopted.failures
    show_result(survey_view(failures, dry_run=dry_run), found, output)
    for failure in failures:
        note(failure)
    return 1 if failures else 0


def _confirm(found: Survey, *, yes: bool) -> None:
    """Raises `PlanRefused` unless the user, or `--yes`, agrees to what was found."""
    if not yes:
        agreed(survey_summary(found), partial(survey_text, found), "Take it over?", "do", "Not adopted.")
