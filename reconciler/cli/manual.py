"""Writes man pages from the help of each command: `python -m reconciler.cli.manual FOLDER`, or `make man`.

They are made when a release or a package is built, and not kept in the repository. The pages are in the `man` macros
(man(7)) that every `man` reads.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

from reconciler import __version__
from reconciler.cli.app import app
from reconciler.regex import expression

EXITS = (
    ("0", "Done, or nothing to do."),
    ("1", "Something failed or was refused, wrong usage included. What could be done is done and recorded."),
    ("2", "There are changes; only with --detailed-exitcode."),
    ("130", "Interrupted."),
)
_PARAGRAPHS = expression(r"\n\s*\n")
_SPECIAL = str.maketrans({"\\": r"\e", "-": r"\-", "`": r"\(ga", "'": r"\(aq", "^": r"\(ha", "~": r"\(ti"})


def pages() -> Iterator[tuple[str, str]]:
    """Yields the file name and the text of each page: r2mirror(1), then one for each command."""
    yield from _pages(get_command(app), "r2mirror", None)


def roff(text: str) -> str:
    """Escapes text, so that none of it is a request or an escape of roff."""
    flat = " ".join(text.split()).translate(_SPECIAL)
    return f"\\&{flat}" if flat.startswith(".") else flat


def _pages(command: Any, name: str, parent: Any) -> Iterator[tuple[str, str]]:
    context = typer.Context(command, info_name=name, parent=parent)
    below = [command.get_command(context, one) for one in command.list_commands(context)] if _is_group(command) else []
    yield f"{context.command_path.replace(' ', '-')}.1", "\n".join(_lines(command, context, below)) + "\n"
    for one in below:
        yield from _pages(one, one.name, context)


def _is_group(command: Any) -> bool:
    return hasattr(command, "list_commands")


def _lines(command: Any, context: Any, below: Sequence[Any]) -> Iterator[str]:
    title = context.command_path.replace(" ", "-")
    first, *others = _PARAGRAPHS.split((command.help or "").strip())
    summary = " ".join(first.split()).partition(". ")[0].rstrip(".")
    yield f'.TH "{roff(title).upper()}" "1" "" "r2mirror {roff(__version__)}" "r2mirror"'
    # Names of options and variables are not to be hyphenated.
    yield from (".nh", ".ad l")
    yield from (".SH NAME", f"{roff(title)} \\- {roff(summary)}")
    usage = [roff(piece) for piece in command.collect_usage_pieces(context)]
    yield from (".SH SYNOPSIS", f"\\fB{roff(context.command_path)}\\fR {' '.join(usage)}")
    yield ".SH DESCRIPTION"
    for number, paragraph in enumerate([first, *others]):
        yield from ([".PP"] if number else [])
        yield roff(paragraph)
    for heading, kind in (("ARGUMENTS", "argument"), ("OPTIONS", "option")):
        records = [one.get_help_record(context) for one in command.get_params(context) if one.param_type_name == kind]
        yield from _list(heading, [one for one in records if one])
    yield from _list("COMMANDS", [(one.name, one.help.strip().partition("\n")[0]) for one in below])
    yield from _list("EXIT STATUS", EXITS)
    root = context.find_root().info_name
    others_named = [f"{title}-{one.name}" for one in below] or [str(root)]
    yield from (".SH SEE ALSO", ", ".join(f"\\fB{roff(one)}\\fR(1)" for one in others_named))


def _list(heading: str, entries: Sequence[tuple[str, str]]) -> Iterator[str]:
    if entries:
        yield f".SH {heading}"
    for term, words in entries:
        yield from (".TP", f"\\fB{roff(term)}\\fR", roff(words))


def write(folder: Path) -> None:
    """Writes every page into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages():
        (folder / name).write_text(text)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
