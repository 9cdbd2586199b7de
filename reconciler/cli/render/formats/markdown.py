"""Markdown for pull-request comments, of the results that are written as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.errors import UsageError

if TYPE_CHECKING:
    from reconciler.cli.render.formats.view import Result, View


def write_markdown(view: View[Result], result: Result, **_: Any) -> str:
    if view.markdown is None:
        raise UsageError("this result cannot be written as markdown")
    return view.markdown(result)
