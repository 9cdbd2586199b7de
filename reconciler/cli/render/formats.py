"""The one entry to rendering: `written` writes a result in a format. Prints nothing.

Each kind of result has a `View` in its module of this package. Each format has a row in `FORMATS`; a new one is a
function that writes any view.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from reconciler.errors import UsageError

Result = TypeVar("Result")
Result_contra = TypeVar("Result_contra", contravariant=True)


class Text(Protocol[Result_contra]):
    """Writes a result for people; `color` and `width` as the terminal has them."""

    def __call__(self, result: Result_contra, /, *, color: bool = ..., width: int = ...) -> str: ...


@dataclass(frozen=True)
class View(Generic[Result]):
    """How results of one kind are written.

    text      for people
    document  as the kind's JSON Schema has it
    markdown  as a pull-request comment; None: not offered
    """

    text: Text[Result]
    document: Callable[[Result], dict[str, Any]]
    markdown: Callable[[Result], str] | None = None


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


def written(view: View[Result], result: Result, output: str, **terminal: Any) -> str:
    """Writes a result in the format called `output`. `terminal`: its color and width, for people."""
    return FORMATS[Format(output)](view, result, **terminal)


def _text(view: View[Result], result: Result, **terminal: Any) -> str:
    return view.text(result, **terminal)


def _json(view: View[Result], result: Result, **_: Any) -> str:
    return json_text(view.document(result))


def _markdown(view: View[Result], result: Result, **_: Any) -> str:
    if view.markdown is None:
        raise UsageError("this result cannot be written as markdown")
    return view.markdown(result)


FORMATS: dict[Format, Callable[..., str]] = {Format.TEXT: _text, Format.JSON: _json, Format.MARKDOWN: _markdown}


def json_text(document: dict[str, Any]) -> str:
    """Writes a JSON document, with an escape in what the way out would break up otherwise."""
    return json.dumps(document, indent=2).replace("##[", "##\\u005b") + "\n"
