"""The command line: its commands, one `except`, and the exit code.

Exit codes: 0 done or nothing to do; 1 something failed or was refused, wrong usage included; 2 only with
`--detailed-exitcode`: there are changes; 130 interrupted. Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from reconciler import __version__
from reconciler.commands.adopt import adopt
from reconciler.commands.apply import apply
from reconciler.commands.client_config import client_config
from reconciler.commands.diff import diff
from reconciler.commands.doctor import doctor
from reconciler.commands.edge import edge
from reconciler.commands.gc import gc
from reconciler.commands.list import list_
from reconciler.commands.plan import plan
from reconciler.commands.review import review
from reconciler.commands.schema import schema
from reconciler.commands.serve import serve
from reconciler.commands.unlock import unlock
from reconciler.commands.validate import validate
from reconciler.commands.verify import verify
from reconciler.console import complain
from reconciler.errors import MirrorError
from reconciler.memory import collected_rarely

_INTERRUPTED = 130

app = typer.Typer(
    name="r2mirror",
    help="Keeps a bucket that is a read-only container registry in step with mirrors.yaml.",
    epilog="Start with `r2mirror validate`, look with `r2mirror plan`, do with `r2mirror apply`.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for command in (
    validate,
    plan,
    apply,
    diff,
    review,
    list_,
    verify,
    gc,
    adopt,
    doctor,
    unlock,
    client_config,
    serve,
    schema,
):
    app.command(command.__name__.rstrip("_").replace("_", "-"))(command)
app.add_typer(edge)


def _version(wanted: bool) -> None:  # noqa: FBT001 typer calls it so
    if wanted:
        typer.echo(f"r2mirror {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    pass


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _say_usage(error: typer.TyperException) -> None:
    """What is wrong with a call, in one line; of a call without anything the help."""
    context = getattr(error, "ctx", None)
    text = error.format_message()
    if context and text == context.get_help():
        typer.echo(text, err=True)
    else:
        message = " ".join(text.split()).rstrip(".")
        complain(f"{message}. See `{context.command_path if context else 'r2mirror'} --help`")


def main() -> NoReturn:
    """The program: every error of ours becomes its message and exit code 1, an interruption 130."""
    signal.signal(signal.SIGTERM, _interrupt)
    with collected_rarely():
        code = _exit_code()
        if code == _INTERRUPTED:
            # What had to be written is; an end in order would wait for every thread that still listens to a source.
            with suppress(BrokenPipeError):
                sys.stdout.flush()
            os._exit(code)
        sys.exit(code)


def _exit_code() -> int:
    try:
        return app(prog_name="r2mirror", standalone_mode=False) or 0
    except MirrorError as error:
        complain(str(error))
    except typer.TyperException as error:
        _say_usage(error)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("interrupted", err=True)
        return _INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
