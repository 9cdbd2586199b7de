"""`r2mirror import`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.console import note, show, warn
from reconciler.cli.created import check_absent, create
from reconciler.cli.options import VerboseOption
from reconciler.errors import MirrorsInvalid, UsageError
from reconciler.imports.formats import BOUNDS, FORMATS, parse_foreign, translate
from reconciler.imports.stores import FORMS, parse_store
from reconciler.imports.written import NothingTranslated
from reconciler.mirrors.document import STDIN, Advice, file_name, read_body
from reconciler.words import count

if TYPE_CHECKING:
    from reconciler.errors import Problem
    from reconciler.mirrors.document import Document

_ADVICE = Advice(missing="", large="import it in parts")


def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of one tool; - for stdin.")],
    tool: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="TOOL", help=f"The tool: {', '.join(FORMATS)}. Default: recognised by the file."
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option("--store", metavar="STORE", help=f"Where the images go instead of where FILE says: {FORMS}."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write this file, and a folder if it cannot hold all; neither may exist (default: stdout).",
        ),
    ] = None,
    _verbose: VerboseOption = 0,
) -> int:
    """Translate the configuration of another tool into mirrors.yaml.

    What has no counterpart is a comment beside its mirror and a warning. Credentials are never copied. The result
    passes validate.
    """
    if tool is not None and tool not in FORMATS:
        raise UsageError(f"--from {tool[:90]}: is not a known tool; known are {', '.join(FORMATS)}")
    if files.count(STDIN) > 1:
        raise UsageError("stdin can be read only once; name - once")
    where = parse_store(store) if store else None
    try:
        written = translate(_parsed(files), tool, where, out.name if out else None)
    except NothingTranslated as error:
        for problem in error.notes:
            warn(str(problem))
        raise
    if out:
        check_absent({(out.parent / name).parent for name in written.included})
        create({out: written.text, **{out.parent / name: text for name, text in written.included.items()}})
    else:
        show(written.text)
    for problem in written.notes:
        warn(str(problem))
    said = f"{count(written.mirrors, 'mirror')}, {count(len(written.notes), 'warning')}"
    if out and written.included:
        said = f"{said}, in {count(len(written.included), 'file')} that {out} includes"
    name = str(out) if out else "mirrors.yaml"
    note(f"{said}. Next: r2mirror plan -f {name}" if out or not sys.stdout.isatty() else f"{said}.")
    return 0


def _parsed(files: Sequence[Path]) -> list[Document]:
    """Parses the files. Raises `MirrorsInvalid` for all that cannot be parsed."""
    documents: list[Document] = []
    problems: list[Problem] = []
    for file in files:
        try:
            name = file_name(file)
            documents.append(parse_foreign(read_body(file, name, most=BOUNDS.size, advice=_ADVICE), name))
        except MirrorsInvalid as error:
            problems += error.problems
    if problems:
        raise MirrorsInvalid(tuple(problems))
    return documents
