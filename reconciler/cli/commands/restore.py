"""`r2mirror restore`."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated

import typer

from reconciler.cli.completion import images
from reconciler.cli.console import agreed, command_line, show_result, tell_waiting, warn
from reconciler.cli.inputs import load, open_bucket
from reconciler.cli.options import (
    MIRRORS,
    FileOption,
    LockTimeoutOption,
    PlainFormatOption,
    StoreOption,
    VerboseOption,
    YesOption,
    moment,
    named_tag,
    taking,
)
from reconciler.cli.render.formats import TEXT
from reconciler.cli.render.restore import restoration_summary, restoration_text, restoration_view
from reconciler.cli.waiting import waiting
from reconciler.errors import Malformed, UsageError
from reconciler.frozen import Frozen
from reconciler.oci.spec import Digest
from reconciler.upkeep.caller import Caller
from reconciler.upkeep.goals import OneRun, OneTag, Request
from reconciler.upkeep.restore import Restoration, plan_restore, restore_bucket


def _digest(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except Malformed as error:
        raise typer.BadParameter(f"{error.why}; `r2mirror history` shows whole digests") from None


class Call(Frozen):
    """What a call of restore asks for."""

    name: Annotated[
        str | None,
        typer.Argument(metavar="REPO:TAG", autocompletion=images, help="The tag to restore.", show_default=False),
    ] = None
    file: FileOption = MIRRORS
    store: StoreOption = None
    to: Annotated[
        Digest | None,
        typer.Option("--to", metavar="DIGEST", parser=_digest, help="Restore the tag to this digest."),
    ] = None
    at: Annotated[
        datetime | None,
        typer.Option(
            "--at",
            metavar="TIME",
            parser=moment,
            help="Restore the tag to what it was at this time, e.g. 2026-11-24T03:00Z, 2026-11-24, or 2d.",
        ),
    ] = None
    run: Annotated[
        int | None,
        typer.Option(
            "--run",
            metavar="SERIAL",
            min=1,
            help="Undo what the run with this serial did to every tag, prunes included. `r2mirror history` shows "
            "serials.",
        ),
    ] = None
    yes: YesOption = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be restored and stop.")] = False
    lock_timeout: LockTimeoutOption = 0.0
    output: PlainFormatOption = TEXT
    _verbose: VerboseOption = 0


@taking(Call)
def restore(call: Call) -> int:
    """Point tags back to digests that the store still has.

    Without --to and --at, REPO:TAG goes back to what it was before it changed last. No source is contacted. Restored
    tags are held: no apply changes them until `r2mirror release`, or an edit of their entry in mirrors.yaml. Asks for
    confirmation on a terminal.
    """
    request, mirrors = _request(call), load(call.file, call.store)
    target = open_bucket(mirrors)
    caller = Caller(command_line(), call.lock_timeout, tell_waiting, waiting)
    with waiting("Reading ..."):
        found = plan_restore(mirrors, target, request)
    if found.steps and not call.dry_run:
        _confirm(found, yes=call.yes)
        found = restore_bucket(mirrors, target, caller, request, None if call.yes else found)
    show_result(restoration_view(dry_run=call.dry_run), found, call.output)
    for one in found.kept:
        warn(f"{one.item.repository}:{one.item.reference}: {one.why}")
    return 1 if found.refused or found.kept else 0


def _request(call: Call) -> Request:
    if call.run is not None:
        if call.name or call.to or call.at:
            raise UsageError("--run restores all tags of a run: leave out REPO:TAG, --to and --at")
        return OneRun(call.run)
    if call.name is None:
        raise UsageError("name a tag, e.g. `r2mirror restore library/alpine:3.20`, or a run with --run SERIAL")
    if call.to and call.at:
        raise UsageError("--to and --at both set what to restore; give one of them")
    target, tag = named_tag(call.name)
    if tag is None:
        raise UsageError(f"{target}: add the tag, e.g. {target}:latest")
    return OneTag(target, tag, call.to, call.at)


def _confirm(found: Restoration, *, yes: bool) -> None:
    """Raises `PlanRefused` unless the user, or `--yes`, agrees to what would be restored."""
    if not yes:
        shown = partial(restoration_text, found, dry_run=True)
        agreed(restoration_summary(found, dry_run=True), shown, "Restore this?", "restore", "Not restored.")
