"""`r2mirror init`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.console import asked, note, say, warn
from reconciler.cli.created import check_absent, create
from reconciler.cli.inputs import open_bucket
from reconciler.cli.installation import requirement
from reconciler.cli.options import VerboseOption
from reconciler.cli.waiting import waiting
from reconciler.errors import MirrorError, MirrorsInvalid, UsageError
from reconciler.imports.starting import MIRRORS, start_files
from reconciler.imports.stores import FORMS, parse_store
from reconciler.mirrors.load import load_mirrors
from reconciler.target.ledger import read_index

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors


def init(
    store: Annotated[
        str | None, typer.Option("--store", metavar="STORE", help=f"Where the images go: {FORMS}.", show_default=False)
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option("--image", metavar="IMAGE", help="An image to begin with, e.g. alpine:3.20; may be repeated."),
    ] = None,
    _verbose: VerboseOption = 0,
) -> int:
    """Begin a mirror: write mirrors.yaml, a pre-commit hook and a workflow.

    Asks for what is not given, and checks whether the store answers. Nothing is overwritten.
    """
    # Before any question: the answers would be lost.
    check_absent([Path(MIRRORS), Path(".pre-commit-config.yaml"), Path(".github/workflows/mirrors.yml")])
    where = parse_store(store or asked(f"Where do the images go? {FORMS}", "--store"))
    wanted = images or asked("Which images to begin with, separated by blanks?", "--image").split()
    files = start_files(where, wanted, requirement())
    reachable = _check(files[MIRRORS])
    create({Path(name): text for name, text in files.items()})
    for name in files:
        note(f"wrote {name}")
    say("Next: r2mirror plan" if reachable else "Next: r2mirror doctor, which says what the store lacks")
    return 0


def _check(text: str) -> bool:
    """Returns whether the store answers. Raises `UsageError` if the answers make no valid file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, MIRRORS)
        path.write_text(text, encoding="utf-8")
        try:
            load_mirrors(path, None)
        except MirrorsInvalid as error:
            raise UsageError("; ".join(f"{one.where}: {one.message}" for one in error.problems)) from None
        try:
            with waiting("Checking the store ..."):
                _read_index(load_mirrors(path, os.environ))
        except MirrorsInvalid as error:
            warn("; ".join(f"{one.where}: {one.message}" for one in error.problems))
        except MirrorError as error:
            warn(f"the store does not answer: {error}")
        else:
            return True
    return False


def _read_index(mirrors: Mirrors) -> None:
    target = open_bucket(mirrors)
    try:
        read_index(target.state)
    finally:
        target.close()
