"""`r2mirror adopt`."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import typer

from reconciler.cli.console import agreed, command_line, note, tell_waiting
from reconciler.cli.inputs import load, open_bucket
from reconciler.cli.options import (
    MIRRORS,
    FileOption,
    LockTimeoutOption,
    OnlyOption,
    PlainFormat,
    PlainFormatOption,
    VerboseOption,
    YesOption,
)
from reconciler.cli.progress import waiting
from reconciler.cli.render.upkeep import survey_summary, survey_text, survey_view
from reconciler.cli.showing import show_result
from reconciler.errors import PlanRefused
from reconciler.mirrors.only import check_only, matches_only
from reconciler.target.lock import held
from reconciler.upkeep.adopt import Survey, survey
from reconciler.upkeep.adopt import adopt as adopt_found
from reconciler.work.threads import BLOB_WORKERS, threads


def adopt(
    file: FileOption = MIRRORS,
    only: OnlyOption = None,
    yes: YesOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be taken over and stop.")] = False,
    lock_timeout: LockTimeoutOption = 0.0,
    output: PlainFormatOption = PlainFormat.TEXT,
    _verbose: VerboseOption = 0,
) -> int:
    """Take over what is already in the bucket; copies no blob.

    For a bucket that was filled by hand or by another tool, and for a mirror index that was lost or damaged. Shows what
    it will do, and asks for confirmation on a terminal. Leaves alone what mirrors.yaml does not name.
    """

    mirrors = load(file)
    stores = open_bucket(mirrors)
    check_only(only or [], mirrors, tuple)
    named = {mirror.target: mirror for mirror in mirrors.mirrors if matches_only(mirror.target, only or [])}
    now = datetime.now(UTC).replace(microsecond=0)
    failures: tuple[str, ...] = ()
    with threads(BLOB_WORKERS) as executor:
        with waiting("Looking through the bucket ..."):
            found = survey(stores, named, now, executor, mirrors.name)
        if found.has_changes and not dry_run:
            _confirm(found, yes=yes)
            with held(stores.state, command_line(), lock_timeout, tell_waiting) as lease:
                again = survey(stores, named, now, executor, mirrors.name)
                if again != found and not yes:
                    raise PlanRefused(("the bucket has changed since it was looked at; nothing was done. Adopt again",))
                found = again
                failures = adopt_found(stores, found, executor, lease)
    show_result(survey_view(failures, dry_run=dry_run), found, output)
    for failure in failures:
        note(failure)
    return 1 if failures else 0


def _confirm(found: Survey, *, yes: bool) -> None:
    """Raises `PlanRefused` unless the user, or `--yes`, agrees to what was found."""
    if not yes:
        agreed(survey_summary(found), partial(survey_text, found), "Take it over?", "do", "Not adopted.")
