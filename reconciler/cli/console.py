"""Asks questions, and prints results on stdout, notes, warnings and errors on stderr."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable
from typing import Any, TextIO, TypeVar

import typer

from reconciler.cli.github import annotate, has_summary, summarise
from reconciler.cli.log import LogFormat, line, manner, result_shown
from reconciler.cli.render.formats import TEXT, View, written
from reconciler.cli.streams import colored, write
from reconciler.errors import LockHeld, PlanRefused, UsageError
from reconciler.words import plain, plain_lines

Result = TypeVar("Result")


def command_line() -> str:
    """The command line of this run, which its lock shows to others."""
    return shlex.join(["r2mirror", *sys.argv[1:]])


def tell_waiting(error: LockHeld) -> None:
    """Says on stderr which run is waited for."""
    if error.has_ended:
        note(f"waiting: {error.holder} has ended and left its lock behind, which expires within {error.left} s")
    else:
        note(f"waiting: {error.holder} has been running since {error.since}")


def terminal(stream: TextIO) -> dict[str, Any]:
    """The color and width to render with for `stream`."""
    if not stream.isatty():
        return {"color": colored(stream)}
    return {"color": colored(stream), "width": shutil.get_terminal_size().columns}


def agreed(summary: str, shown: Callable[..., str], question: str, verb: str, refusal: str) -> None:
    """Shows what `shown` renders, and asks for confirmation. Raises `PlanRefused` for a no, or without a terminal."""
    if not sys.stdin.isatty():
        raise PlanRefused((f"{summary} There is no terminal to ask on: add --yes to {verb} it.",))
    write(sys.stderr, shown(**terminal(sys.stderr)) + "\n")
    if not confirmed(question):
        raise PlanRefused((refusal,))


def confirmed(question: str) -> bool:
    """Asks on the terminal; the default is no."""
    return typer.confirm(plain(question), err=True)


def asked(question: str, option: str) -> str:
    """Asks for what `option` gives otherwise. Raises `UsageError` without a terminal."""
    if not sys.stdin.isatty():
        raise UsageError(f"{option} is missing, and there is no terminal to ask on")
    answer: str = typer.prompt(plain(question), err=True)
    return answer


def show(text: str) -> None:
    """Prints a result of a command. Raises `UsageError` if it cannot be written to stdout."""
    result_shown()
    try:
        write(sys.stdout, text)
    except BrokenPipeError:
        # `r2mirror list | head`: the reader has what it wanted, which is not worth a message.
        raise typer.Exit(1) from None
    except OSError as error:
        raise UsageError(f"stdout: the result cannot be written there: {error.strerror}") from None


def show_result(view: View[Result], result: Result, output: str) -> None:
    """Prints the result of a command in the format called `output`, with `--quiet` only if it is news.

    Raises as `show` does.
    """
    if output == TEXT and manner().quiet and not view.is_news(result):
        return
    show(written(view, result, output, **terminal(sys.stdout)))
    report(view, result)


def report(view: View[Result], result: Result) -> None:
    """Reports a result to GitHub Actions too, where the program runs there."""
    if view.places:
        annotate(one.problem for one in view.places(result) if one.level == "error")
    if view.markdown and has_summary():
        summarise(view.markdown(result))


def say(words: str) -> None:
    """Prints one line of a result."""
    show(plain(words) + "\n")


def note(words: str) -> None:
    """Prints one line on stderr, unless the call is quiet."""
    if manner().quiet:
        return
    if manner().form is LogFormat.JSON:
        line("info", words)
    else:
        write(sys.stderr, plain(words) + "\n")


def point_to(*pages: str) -> None:
    """Names pages of the documentation on stderr, as `r2mirror docs` takes them."""
    for page in pages:
        note(f"More about this: r2mirror docs {page}")


def help_instead(text: str) -> None:
    """Prints the help of a command on stderr, for a call without arguments that needs some."""
    write(sys.stderr, text + "\n")


def complain(message: str, **fields: Any) -> None:
    """Prints an error on stderr; `fields` go to a log in JSON."""
    _say("error", "red", message, **fields)


def warn(message: str) -> None:
    """Prints a warning on stderr."""
    _say("warning", "yellow", message)


def _say(level: str, color: str, message: str, **fields: Any) -> None:
    if manner().form is LogFormat.JSON:
        line(level, message, **fields)
        return
    label = f"{level}: "
    styled = typer.style(label, fg=color, bold=True) if colored(sys.stderr) else label
    write(sys.stderr, f"{styled}{plain_lines(message)}\n")
