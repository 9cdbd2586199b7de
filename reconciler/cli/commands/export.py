"""`r2mirror export`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from reconciler.box.export import Wanted, write_index_file
from reconciler.box.export import export as export_box
from reconciler.cli.console import note, show_result
from reconciler.cli.inputs import load, open_bucket
from reconciler.cli.options import (
    MIRRORS,
    FileOption,
    OnlyOption,
    PlainFormatOption,
    StoreOption,
    VerboseOption,
    moment,
    taking,
)
from reconciler.cli.render.export import EXPORTED
from reconciler.cli.render.formats import TEXT
from reconciler.cli.waiting import waiting
from reconciler.errors import UsageError
from reconciler.frozen import Frozen
from reconciler.regex import expression

MIN_SPLIT = 1024 * 1024
_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "kB": 10**3, "MB": 10**6, "GB": 10**9}
_SIZE = expression(r"([0-9]{1,12})(?: ?([KMGT]iB|[kMG]B))?")


def _split(text: str) -> int:
    found = _SIZE.fullmatch(text)
    size = int(found[1]) * _UNITS[found[2] or ""] if found else 0
    if size < MIN_SPLIT:
        raise typer.BadParameter(f"{text!r} is not a size of at least 1MiB; write e.g. 4GiB")
    return size


def _since(text: str) -> int | datetime:
    return int(text) if re.fullmatch("[0-9]{1,15}", text) else moment(text)


class Call(Frozen):
    """What a call of export asks for."""

    box: Annotated[Path, typer.Argument(metavar="BOX", help="The file to write, e.g. box.tar.", show_default=False)]
    file: FileOption = MIRRORS
    store: StoreOption = None
    only: OnlyOption = None
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="SERIAL|TIME",
            help="Leave out what the mirror had at this serial, or at this time, e.g. 2026-11-24 or 2d.",
        ),
    ] = None
    lacking: Annotated[
        Path | None,
        typer.Option("--lacking", metavar="INDEX", help="Leave out what the target with this mirror index has."),
    ] = None
    split: Annotated[
        int | None,
        typer.Option("--split", metavar="SIZE", parser=_split, help="Write parts of this size, e.g. 4GiB."),
    ] = None
    sign_key: Annotated[
        Path | None,
        typer.Option(
            "--sign-key", metavar="KEY", help="Sign the box with this private key, and write BOX.sig beside it."
        ),
    ] = None
    index: Annotated[
        bool, typer.Option("--index", help="Write the mirror index alone, for --lacking on the other side.")
    ] = False
    output: PlainFormatOption = TEXT
    _verbose: VerboseOption = 0


@taking(Call)
def export(call: Call) -> int:
    """Write what a target without a network lacks into one file.

    The other side applies it with `r2mirror apply --from BOX`. Without --since and --lacking, the box holds every image
    of the mirror. Reads the target alone: no source is contacted.
    """
    if call.since is not None and call.lacking:
        raise UsageError("--since and --lacking both say what the other side has; give one of them")
    mirrors = load(call.file, call.store)
    target = open_bucket(mirrors)
    if call.index:
        if call.since is not None or call.lacking or call.split or call.only or call.sign_key:
            raise UsageError(
                "--index writes the whole mirror index: leave out --since, --lacking, --split, --only and --sign-key"
            )
        write_index_file(call.box, target, datetime.now(UTC))
        note(f"wrote {call.box}; on the other side: `r2mirror export BOX --lacking {call.box.name}`")
        return 0
    since = None if call.since is None else _since(call.since)
    wanted = Wanted(tuple(call.only or ()), since, call.lacking, call.split, call.sign_key)
    with waiting("Writing the box ..."):
        found = export_box(call.box, mirrors, target, wanted)
    show_result(EXPORTED, found, call.output)
    return 0
