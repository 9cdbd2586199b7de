"""Declares the options that every command has, before or after its name, and the variables of all options.

The variable of an option is `R2MIRROR_` and its long name in capitals, the same for each command that has the option.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Annotated, Any

import typer
from typer.core import TyperOption
from typer.main import get_command_from_info
from typer.models import CommandInfo

from reconciler.cli.log import LogFormat, for_call, log_by, quieten

PREFIX = "R2MIRROR_"
_WITHOUT = ("--help", "--version")

_SERVICE, _ADDRESSES = "R2MIRROR_PORT", ("tcp://", "udp://", "sctp://")
"""What Kubernetes sets in each pod beside a Service named r2mirror; no value of `--port`."""

VerboseOption = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        callback=log_by,
        show_default=False,
        help="Log what is done; -vv: log each request.",
    ),
]


def _shared(
    verbose: VerboseOption = 0,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            callback=quieten,
            help="Print text only if there is a change, a failure or a warning.",
        ),
    ] = False,
    log_format: Annotated[
        LogFormat, typer.Option("--log-format", help="The format of the lines on stderr; json: one object a line.")
    ] = LogFormat.TEXT,
) -> None:
    """Has the options of every command."""


def call_begun() -> AbstractContextManager[None]:
    """Sets up the log for the length of a call, before it is parsed: its format holds for an error in the call too."""
    if os.environ.get(_SERVICE, "").startswith(_ADDRESSES):
        del os.environ[_SERVICE]
    form = given("--log-format")
    return for_call(LogFormat(form) if form in tuple(LogFormat) else LogFormat.TEXT)


def extended(command: Any) -> Any:
    """Adds to a command, or to each of a group, what every command has, and names the variables of its options."""
    for below in getattr(command, "commands", {}).values():
        extended(below)
    if not hasattr(command, "commands"):
        add_options(command)
    return command


def add_options(command: Any) -> None:
    """Adds the shared options that a command does not have yet, and names the variables of all."""
    has = {spelled for one in command.params for spelled in one.opts}
    command.params += [one for one in _shared_options() if not has.intersection(one.opts)]
    for one in command.params:
        if isinstance(one, TyperOption) and not set(one.opts).intersection(_WITHOUT):
            one.envvar, one.show_envvar = variable(one.opts), True


@cache
def _shared_options() -> tuple[Any, ...]:
    """Makes the options of `_shared` once, for the program and the command that is called."""
    shared = get_command_from_info(
        CommandInfo("", callback=_shared), pretty_exceptions_short=False, rich_markup_mode=None
    )
    for one in shared.params:
        one.expose_value = False
    return tuple(shared.params)


def variable(spellings: Sequence[str]) -> str:
    """Names the environment variable of an option, e.g. R2MIRROR_LOCK_TIMEOUT for `--lock-timeout`."""
    return PREFIX + max(spellings, key=len).lstrip("-").replace("-", "_").upper()


def given(option: str) -> str | None:
    """Finds the value of an option in a call that need not be valid: the last one typed, or else its variable's."""
    typed = sys.argv[1:]
    for place in reversed(range(len(typed))):
        name, equals, value = typed[place].partition("=")
        if name == option:
            return value if equals else next(iter(typed[place + 1 :]), None)
    return os.environ.get(variable([option]))


def came_from(error: Any) -> str | None:
    """Names the variable with the value that an error of a call is about; None if the value was typed."""
    context: Any = getattr(error, "ctx", None)
    option: Any = getattr(error, "param", None)
    source = context.get_parameter_source(option.name) if context and option else None
    return str(option.envvar) if source and source.name == "ENVIRONMENT" else None
