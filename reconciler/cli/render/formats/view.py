"""What a kind of result tells a format."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from reconciler.frozen import Frozen

if TYPE_CHECKING:
    from reconciler.errors import Problem


def _always(_: object) -> bool:
    return True


Result = TypeVar("Result")
Result_contra = TypeVar("Result_contra", contravariant=True)


class Place(Frozen):
    """A problem at its place in a file; only an error makes the file invalid."""

    level: Literal["error", "warning", "note"]
    problem: Problem


class Text(Protocol[Result_contra]):
    """Writes a result for people; `color` and `width` as the terminal has them."""

    def __call__(self, result: Result_contra, /, *, color: bool = ..., width: int = ...) -> str: ...


class View(Frozen, Generic[Result]):
    """How results of one kind are written.

    text      for people
    document  as the kind's JSON Schema has it
    markdown  as a pull-request comment; None: not offered
    places    what is wrong in which place of a file; None: not offered
    is_news   whether a result has a change, a failure or a warning, without which `--quiet` prints nothing
    """

    text: Text[Result]
    document: Callable[[Result], dict[str, Any]]
    markdown: Callable[[Result], str] | None = None
    is_news: Callable[[Result], bool] = _always
    places: Callable[[Result], Iterable[Place]] | None = None
