"""`r2mirror release`."""

from __future__ import annotations

from typing import Annotated

import typer

from reconciler.cli.completion import images
from reconciler.cli.console import command_line, show_result, tell_waiting
from reconciler.cli.inputs import load, open_bucket
from reconciler.cli.options import (
    MIRRORS,
    FileOption,
    LockTimeoutOption,
    PlainFormatOption,
    StoreOption,
    VerboseOption,
    named_tag,
)
from reconciler.cli.render.formats import TEXT
from reconciler.cli.render.restore import RELEASE
from reconciler.cli.waiting import waiting
from reconciler.errors import UsageError
from reconciler.upkeep.caller import Caller
from reconciler.upkeep.restore import release_tags


def release(
    names: Annotated[
        list[str],
        typer.Argument(metavar="REPO:TAG...", autocompletion=images, help="The tags to release.", show_default=False),
    ],
    file: FileOption = MIRRORS,
    store: StoreOption = None,
    lock_timeout: LockTimeoutOption = 0.0,
    output: PlainFormatOption = TEXT,
    _verbose: VerboseOption = 0,
) -> int:
    """Let applies change restored tags again.

    The tags stay as they are until the next apply, which makes them what mirrors.yaml and their sources say.
    """
    tags = [_tag(name) for name in names]
    mirrors = load(file, store)
    caller = Caller(command_line(), lock_timeout, tell_waiting, waiting)
    show_result(RELEASE, release_tags(mirrors, open_bucket(mirrors), caller, tags), output)
    return 0


def _tag(name: str) -> tuple[str, str]:
    target, tag = named_tag(name)
    if tag is None:
        raise UsageError(f"{target}: add the tag, e.g. {target}:latest")
    return target, tag
