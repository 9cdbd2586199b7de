"""What every command of the command line shares: options, the mirrors file and what it names, and what people see."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reconciler.cli.streams import colored, write
from reconciler.errors import UsageError
from reconciler.words import plain, plain_lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from reconciler.errors import LockHeld
    from reconciler.mirrors.model import Mirrors
    from reconciler.stores import Stores

MIRRORS = Path("mirrors.yaml")


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


class PlainFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class _Plain(logging.Formatter):
    """A line for each message, in which nothing that came from outside can move the cursor; below it a traceback's."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 logging's name
        return plain(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 logging's name
        return plain_lines(super().formatException(ei))


def _log(wanted: int) -> int:
    """Turns our own log on: what is done with `-v`, each request with `-vv`. Never that of a library.

    Warnings are said in any case, by the handler that Python keeps for them.
    """
    if wanted:
        log_from(logging.INFO if wanted == 1 else logging.DEBUG)
    elif logging.lastResort:
        logging.lastResort.setFormatter(_Plain("warning: %(message)s"))
    return wanted


def log_from(level: int) -> None:
    """Prints our own log from `level` on to stderr; a second call changes nothing."""
    if not logging.getLogger().hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(_Plain("%(asctime)s.%(msecs)03d %(name)s: %(message)s", "%H:%M:%S"))
        logging.basicConfig(handlers=[handler])
        logging.getLogger("reconciler").setLevel(level)


VerboseOption = Annotated[
    int,
    typer.Option(
        "--verbose", "-v", count=True, callback=_log, show_default=False, help="Say what is done; -vv: each request."
    ),
]
FileOption = Annotated[Path, typer.Option("--file", "-f", metavar="FILE", help="The mirrors file.")]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="GLOB", help="Only targets that match, as in 'library/*'; may be repeated."),
]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print the result.")]
PlainFormatOption = Annotated[PlainFormat, typer.Option("--format", help="How to print the result.")]
DetailedOption = Annotated[bool, typer.Option("--detailed-exitcode", help="Exit with 2 if there are changes.")]
StrictOption = Annotated[bool, typer.Option("--strict", help="Exit with 1 if there are warnings.")]
AllowPruneOption = Annotated[
    bool,
    typer.Option(
        "--allow-prune",
        help="Prune even more than 30 % (and more than 10) of a repository's tags or of all tags, and empty even more "
        "than a third (and more than 2) of the repositories.",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal.")]
LONGEST_WAIT = 7 * 24 * 3600
"""Seconds that any option may have r2mirror wait."""


def seconds(text: str) -> float:
    """The value of an option that says how long to wait. No range of numbers keeps `nan` out."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if 0 <= value <= LONGEST_WAIT:
        return value
    raise typer.BadParameter(f"{text!r} is not a number of seconds from 0 to {LONGEST_WAIT} (a week)")


TimeoutOption = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        parser=seconds,
        help="End after so long: record and publish what is done, and exit with 1 if that is not all.",
    ),
]
LockTimeoutOption = Annotated[
    float,
    typer.Option("--lock-timeout", metavar="SECONDS", parser=seconds, help="How long to wait for another run to end."),
]


def load(file: Path) -> Mirrors:
    """The mirrors file with the environment's variables filled in. Raises `MirrorsInvalid`."""
    from reconciler.mirrors.load import load_mirrors

    return load_mirrors(file, os.environ)


def open_bucket(mirrors: Mirrors) -> Stores:
    """The store of a mirrors file. Sends nothing yet."""

    from reconciler.target.digest_by_tag import open_target

    return open_target(mirrors.store, os.environ)


def command_line() -> str:
    """What the lock says of this run."""
    return shlex.join(["r2mirror", *sys.argv[1:]])


def tell_waiting(error: LockHeld) -> None:
    """Says on stderr who is waited for."""
    if error.has_ended:
        note(f"waiting: {error.holder} has ended and left its lock behind, which runs out within {error.left} s")
    else:
        note(f"waiting: {error.holder} is at work since {error.since}")


def terminal(stream: TextIO) -> dict[str, Any]:
    """How wide and whether in color, for what writes to `stream`."""
    if not stream.isatty():
        return {"color": colored(stream)}
    import shutil

    return {"color": colored(stream), "width": shutil.get_terminal_size().columns}


def agreed(summary: str, shown: Callable[..., str], question: str, verb: str, refusal: str) -> None:
    """Asks on a terminal, after what is `shown` there. Raises `PlanRefused` without a terminal, and for a no."""
    from reconciler.errors import PlanRefused

    if not sys.stdin.isatty():
        raise PlanRefused((f"{summary} There is no terminal to ask on: add --yes to {verb} it.",))
    write(sys.stderr, shown(**terminal(sys.stderr)) + "\n")
    if not confirmed(question):
        raise PlanRefused((refusal,))


def confirmed(question: str) -> bool:
    """Asks on the terminal; the default is no."""
    return typer.confirm(plain(question), err=True)


def show(text: str) -> None:
    """Prints a result of a command, lines of ours. Raises `UsageError` if stdout does not take it."""
    try:
        write(sys.stdout, text)
    except BrokenPipeError:
        raise typer.Exit(1) from None
    except OSError as error:
        raise UsageError(f"stdout: the result cannot be written there: {error.strerror}") from None


def show_json(document: dict[str, Any]) -> None:
    """Prints the one JSON document of a command."""
    import json

    show_json_text(json.dumps(document, indent=2) + "\n")


def show_json_text(text: str) -> None:
    """Prints a JSON document that is text already; what `show` would break up is escaped instead."""
    show(text.replace("##[", "##\\u005b"))


def say(line: str) -> None:
    """Prints one line of a result."""
    show(plain(line) + "\n")


def note(line: str) -> None:
    """Says something on stderr, in one line."""
    write(sys.stderr, plain(line) + "\n")


def help_instead(text: str) -> None:
    """Prints a command's help on stderr, where a call was nothing that it could do."""
    write(sys.stderr, text + "\n")


def complain(message: str) -> None:
    """Says on stderr what went wrong."""
    _say("error: ", "red", message)


def warn(message: str) -> None:
    """Says on stderr what should be looked at, although nothing failed."""
    _say("warning: ", "yellow", message)


def _say(label: str, color: str, message: str) -> None:
    styled = typer.style(label, fg=color, bold=True) if colored(sys.stderr) else label
    write(sys.stderr, f"{styled}{plain_lines(message)}\n")
