"""The command line: its commands, one `except`, and the exit code.

Exit codes: 0 done or nothing to do; 1 something failed or was refused, wrong usage included; 2 only with
`--detailed-exitcode`: there are changes; 130 interrupted. Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import Annotated, Any

import typer

from reconciler import __version__
from reconciler.cli.completion import VARIABLE, prepare
from reconciler.cli.console import complain, help_instead, note, point_to, say, show
from reconciler.cli.everywhere import call_begun, came_from, given
from reconciler.cli.github import annotate_error
from reconciler.cli.group import INTERRUPTED, Commands
from reconciler.cli.log import LogFormat, manner
from reconciler.cli.render.formats import JSON, json_text
from reconciler.errors import ExtraMissing, MirrorError, UsageError

logger = logging.getLogger(__name__)


app = typer.Typer(
    name="r2mirror",
    cls=Commands,
    help="Keeps container images in a bucket, folder or registry in sync with mirrors.yaml.",
    epilog="Typical workflow: `r2mirror validate`, `r2mirror plan`, `r2mirror apply`.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


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
    """Runs one call of the program and returns its exit code: 1 after an error, 130 after an interruption.

    With `--format json`, prints an error as a JSON document, unless the result was printed before it.
    """
    with call_begun():
        if VARIABLE in os.environ:
            prepare()
        return _code()


def _code() -> int:
    try:
        code: int = app(prog_name="r2mirror", standalone_mode=False) or 0
        if code == INTERRUPTED:
            _answer(None, "interrupted", "interrupted", code)
        return code
    except ExtraMissing as error:
        # Reading package metadata takes longer to import than the rest of `--help`.
        from reconciler.cli.installation import install_command

        return _fail(error, "", f"{error}: {install_command(error.extra)}")
    except MirrorError as error:
        annotate_error(error)
        return _fail(error, "", str(error))
    except typer.TyperException as error:
        return _fail_usage(error)
    except (KeyboardInterrupt, typer.Abort):
        note("interrupted")
        _answer(None, "interrupted", "interrupted", INTERRUPTED)
        return INTERRUPTED
    except UnicodeEncodeError as error:
        logger.debug("a name cannot be spelled", exc_info=True)
        why = f"this locale's encoding, {error.encoding}, cannot spell it; set LC_ALL=C.UTF-8 or PYTHONUTF8=1"
        return _fail(error, "encoding", f"{error.object!a}: {why}")
    except OSError as error:
        logger.debug("the operating system refused something", exc_info=True)
        words = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
        return _fail(error, "system", words)


def _fail(error: Exception, kind: str, message: str) -> int:
    """Prints an error, and returns the exit code."""
    complain(message, **_fields(error, kind, message))
    if isinstance(error, MirrorError) and error.page and manner().form is LogFormat.TEXT:
        point_to(error.page)
    _answer(error, kind, message, 1)
    return 1


def _fields(error: Exception, kind: str, message: str) -> dict[str, Any]:
    """What a log in JSON has of an error besides its message."""
    if manner().form is LogFormat.TEXT:
        return {}
    from reconciler.cli.render.error import error_document

    about = error_document(error, kind, message, 1)["error"]
    return {name: about[name] for name in ("kind", "what", "file", "line", "column", "page")}


def _answer(error: Exception | None, kind: str, message: str, code: int) -> None:
    """Prints an error as a document, if the call asked for JSON and has printed no result."""
    if manner().shown or given("--format") != JSON:
        return
    from reconciler.cli.render.error import error_document

    # A stdout that is broken is an error of its own, which has been reported.
    with suppress(UsageError, typer.Exit):
        show(json_text(error_document(error, kind, message, code)))


def _fail_usage(error: typer.TyperException) -> int:
    """Says in one line what is wrong with a call; for a call without arguments, prints the help."""
    context, found = getattr(error, "ctx", None), came_from(error)
    if found:
        error.param_hint = found  # type: ignore[attr-defined]
    text = error.format_message()
    if context and text == context.get_help():
        help_instead(text)
        return 1
    message = " ".join(text.split()).rstrip(".")
    stop = "" if message.endswith("?") else "."
    words = f"{message}{stop} See `{context.command_path if context else 'r2mirror'} --help`"
    return _fail(UsageError(words), "", words)
