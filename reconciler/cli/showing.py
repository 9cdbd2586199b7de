"""Prints a result in the wanted format."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

from reconciler.cli.console import show, terminal
from reconciler.cli.render.formats import written

if TYPE_CHECKING:
    from reconciler.cli.options import PlainFormat
    from reconciler.cli.render.formats import Format, View

Result = TypeVar("Result")


def show_result(view: View[Result], result: Result, output: Format | PlainFormat) -> None:
    """Prints the result of a command on stdout. Raises as `show` does."""
    show(written(view, result, output, **terminal(sys.stdout)))
