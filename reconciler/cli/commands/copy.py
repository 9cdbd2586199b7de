"""`r2mirror copy`."""

from __future__ import annotations

import os
from functools import partial
from typing import Annotated

import typer

from reconciler.apply.observer import Observer
from reconciler.cli.completion import targets
from reconciler.cli.console import agreed, command_line, complain, show_result, tell_waiting
from reconciler.cli.inputs import load
from reconciler.cli.options import (
    MIRRORS,
    FileOption,
    LockTimeoutOption,
    PlainFormatOption,
    StoreOption,
    TimeoutOption,
    VerboseOption,
    YesOption,
    taking,
)
from reconciler.cli.progress import shown
from reconciler.cli.render.by_hand import ByHand, by_hand_text, by_hand_view
from reconciler.cli.render.formats import TEXT
from reconciler.cli.waiting import waiting
from reconciler.errors import Malformed
from reconciler.frozen import Frozen
from reconciler.mirrors.model import Mirrors
from reconciler.oci.spec import Platform
from reconciler.plan.connections import connect
from reconciler.upkeep.caller import Caller
from reconciler.upkeep.copying import PlannedCopy, copy_image, plan_copy
from reconciler.upkeep.prospects import prospect
from reconciler.work.deadline import Deadline


def _platform(text: str) -> Platform:
    try:
        return Platform.parse(text)
    except Malformed as error:
        raise typer.BadParameter(str(error)) from None


class Call(Frozen):
    """What a call of copy asks for."""

    reference: Annotated[
        str,
        typer.Argument(metavar="SOURCE:TAG", help="The image, e.g. docker.io/library/redis:7.4.", show_default=False),
    ]
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET",
            autocompletion=targets,
            help="Where it goes (default: the target of the mirror with this source, or the source's own path).",
            show_default=False,
        ),
    ] = None
    file: FileOption = MIRRORS
    store: StoreOption = None
    platforms: Annotated[
        list[Platform] | None,
        typer.Option(
            "--platform",
            metavar="OS/ARCH",
            parser=_platform,
            help="Copy only this platform of the image (default: as mirrors.yaml has it); may be repeated.",
        ),
    ] = None
    now: Annotated[bool, typer.Option("--now", help="Copy the image even if it is not old enough for `min_age`.")] = (
        False
    )
    yes: YesOption = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be copied and stop.")] = False
    lock_timeout: LockTimeoutOption = 0.0
    timeout: TimeoutOption = None
    output: PlainFormatOption = TEXT
    _verbose: VerboseOption = 0


@taking(Call)
def copy(call: Call) -> int:
    """Copy one image now, whatever mirrors.yaml chooses, and hold its tag.

    The image is checked as for an apply: signatures, platforms, `min_age`. No apply changes or prunes a held tag until
    `r2mirror release`, or an edit of its entry in mirrors.yaml. Says what the next apply does then. Asks for
    confirmation on a terminal.
    """
    mirrors = load(call.file, call.store)
    with connect(mirrors, os.environ, deadline=Deadline(call.timeout)) as connections:
        planned = plan_copy(
            mirrors,
            connections,
            call.reference,
            call.target,
            call.platforms or (),
            now=call.now,
            stage=waiting,
        )
        result = _result(mirrors, planned)
        if call.dry_run:
            show_result(by_hand_view(dry_run=True), result, call.output)
            return 0
        if not call.yes:
            words = by_hand_text(result, dry_run=True)
            agreed(
                words.splitlines()[0], partial(by_hand_text, result, dry_run=True), "Copy this?", "copy", "Not copied."
            )
        caller = Caller(command_line(), call.lock_timeout, tell_waiting, waiting)
        with shown(1, tells=call.output != TEXT) as progress:
            failed = copy_image(planned, connections, caller, Observer(progress, waiting, tell_waiting))
    for why in failed:
        complain(why)
    if failed:
        return 1
    show_result(by_hand_view(dry_run=False), result, call.output)
    return 0


def _result(mirrors: Mirrors, planned: PlannedCopy) -> ByHand:
    target, tag = planned.mirror.target, planned.tag
    then = prospect(mirrors, target, tag, is_there=True)
    return ByHand(target, tag, planned.mirror.source, planned.before, planned.after, then)
