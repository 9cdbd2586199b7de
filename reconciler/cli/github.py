"""Reports to GitHub Actions: problems at their lines of a file, and results in the summary of the step.

Nothing has to be turned on: the runner says by its environment that it is there.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from reconciler.cli.log import LogFormat, manner
from reconciler.cli.streams import write_command
from reconciler.errors import MirrorsInvalid, Problem
from reconciler.words import plain

logger = logging.getLogger(__name__)


def annotate(problems: Iterable[Problem]) -> None:
    """Writes an annotation for each problem of a file, which the runner shows at its line."""
    if not _at_work() or manner().form is LogFormat.JSON:
        return
    for one in problems:
        write_command(sys.stderr, annotation(one, os.environ.get("GITHUB_WORKSPACE", "")))


def annotate_error(error: BaseException) -> None:
    """As `annotate`, for an error that has places in a file."""
    if isinstance(error, MirrorsInvalid):
        annotate(error.problems)


def annotation(problem: Problem, workspace: str) -> str:
    """Writes the command that annotates a file; its name is relative to the repository's folder."""
    # `mirrors.document` calls it so; it loads more than `--help` needs.
    where = "" if problem.file == "stdin" else f"file={_property(_within(problem.file, workspace))},"
    message = f"{problem.where}: {problem.message}" if problem.where else problem.message
    return f"::error {where}line={problem.line},col={problem.column}::{_data(plain(message))}"


def has_summary() -> bool:
    """Returns whether there is a summary of the step: to write a result for it takes time, and loads more."""
    return bool(os.environ.get("GITHUB_STEP_SUMMARY")) and _at_work()


def summarise(markdown: str) -> None:
    """Adds a result to the summary of the step. What cannot be written is left out: it is printed anyway."""
    if has_summary():
        path = os.environ["GITHUB_STEP_SUMMARY"]
        try:
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(markdown + "\n")
        except OSError as error:
            logger.warning("%s: the summary cannot be written: %s", path, error.strerror)


def _at_work() -> bool:
    return os.environ.get("GITHUB_ACTIONS") == "true"


def _within(file: str, workspace: str) -> str:
    path = Path(file).resolve()
    return path.relative_to(workspace).as_posix() if workspace and path.is_relative_to(workspace) else file


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
