"""The command line: its commands, one `except`, and the exit code.

Exit codes: 0 done or nothing to do; 1 something failed or was refused, wrong usage included; 2 only with
`--detailed-exitcode`: there are changes; 130 interrupted. Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import logging
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from reconciler import __version__
from reconciler.cli.commands.adopt import adopt
from reconciler.cli.commands.apply import apply
from reconciler.cli.commands.client_config import client_config
from reconciler.cli.commands.diff import diff
from reconciler.cli.commands.doctor import doctor
from reconciler.cli.commands.edge import edge
from reconciler.cli.commands.gc import gc
from reconciler.cli.commands.list import list_
from reconciler.cli.commands.plan import plan
from reconciler.cli.commands.review import review
from reconciler.cli.commands.schema import schema
from reconciler.cli.commands.serve import serve
from reconciler.cli.commands.unlock import unlock
from reconciler.cli.commands.validate import validate
from reconciler.cli.commands.verify import verify
from reconciler.cli.console import complain, help_instead, note, say
from reconciler.cli.origin import install_command
from reconciler.errors import ExtraMissing, MirrorError

logger = logging.getLogger(__name__)

_INTERRUPTED = 130


class _Commands(TyperGroup):
    """Says of an interruption what it left, where a command knows."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interruption:
            note(": ".join(["interrupted", *map(str, interruption.args)]))
            return _INTERRUPTED


app = typer.Typer(
    name="r2mirror",
    cls=_Commands,
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
        say(f"r2mirror {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    pass


def run() -> int:
    """One call of the program: every error of ours becomes its message and exit code 1, an interruption 130."""
    try:
        return app(prog_name="r2mirror", standalone_mode=False) or 0
    except ExtraMissing as error:
        complain(f"{error}: {install_command(error.extra)}")
    except MirrorError as error:
        complain(str(error))
    except typer.TyperException as error:
        _say_usage(error)
    except (KeyboardInterrupt, typer.Abort):
        note("interrupted")
        return _INTERRUPTED
    except UnicodeEncodeError as error:
        logger.debug("a name cannot be spelled", exc_info=True)
        why = f"this locale's encoding, {error.encoding}, cannot spell it; set LC_ALL=C.UTF-8 or PYTHONUTF8=1"
        complain(f"{error.object!a}: {why}")
    except OSError as error:
        logger.debug("the operating system refused something", exc_info=True)
        complain(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error))
    return 1


def _say_usage(error: typer.TyperException) -> None:
    """What is wrong with a call, in one line; of a call without anything the help."""
    context = getattr(error, "ctx", None)
    text = error.format_message()
    if context and text == context.get_help():
        help_instead(text)
    else:
        message = " ".join(text.split()).rstrip(".")
        complain(f"{message}. See `{context.command_path if context else 'r2mirror'} --help`")
