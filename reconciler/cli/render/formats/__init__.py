"""The one entry to rendering: `written` writes a result in a format. Prints nothing.

Each kind of result has a `View` in its module of `render/`. A new format is a module beside these and a row of
`FORMATS`; commands, options and their help know formats only from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reconciler.cli.render.formats.json import json_text, write_json
from reconciler.cli.render.formats.markdown import write_markdown
from reconciler.cli.render.formats.sarif import write_sarif
from reconciler.cli.render.formats.text import write_text
from reconciler.cli.render.formats.view import Place, Result, View
from reconciler.frozen import Frozen

__all__ = ["FORMATS", "JSON", "TEXT", "Place", "View", "json_text", "written"]

TEXT = "text"
"""The default. An apply prints it tag by tag; every other format is written once, at the end."""

JSON = "json"
"""What a call that fails answers in too."""


class Format(Frozen):
    """One format.

    write  writes any result of which it has a view
    needs  the field of the view that it is written from, where only some kinds of result have it
    """

    write: Callable[..., str]
    needs: str = ""


FORMATS: Mapping[str, Format] = {
    TEXT: Format(write_text),
    JSON: Format(write_json),
    "markdown": Format(write_markdown, needs="markdown"),
    "sarif": Format(write_sarif, needs="places"),
}


def written(view: View[Result], result: Result, output: str, **terminal: Any) -> str:
    """Writes a result in the format called `output`. `terminal`: its color and width, for people."""
    return FORMATS[output].write(view, result, **terminal)
