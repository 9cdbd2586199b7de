"""What a kind of result tells a format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar


def _always(_: object) -> bool:
    return True


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
    is_news   whether a result has a change, a failure or a warning, without which `--quiet` prints nothing
    """

    text: Text[Result]
    document: Callable[[Result], dict[str, Any]]
    markdown: Callable[[Result], str] | None = None
    is_news: Callable[[Result], bool] = _always
