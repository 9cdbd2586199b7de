"""The results of several stores, of one mirrors file or more, in every format. Prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from reconciler.cli.render.blocks import Block, code, escaped, fitted
from reconciler.cli.render.formats import View
from reconciler.cli.render.formats.view import Result
from reconciler.cli.render.sheet import WIDE, bold, rendered
from reconciler.frozen import Frozen

if TYPE_CHECKING:
    from reconciler.cli.render.formats.view import Text

Other = TypeVar("Other")

VERSION = 1
STORE, FILE = "Store", "File"


class Several(Frozen, Generic[Result]):
    """The results by the names of the stores, and why some stores have none, or not a whole one.

    kind  what the names are of: with several files each begins with that of its file
    """

    results: Mapping[str, Result]
    errors: Mapping[str, str]
    kind: str = STORE

    def each(self, of: Callable[[Result], Other]) -> Several[Other]:
        """Returns what `of` makes of each result."""
        return Several({name: of(one) for name, one in self.results.items()}, self.errors, self.kind)


def several_view(view: View[Result], blocks: Callable[[Result], Sequence[Block]]) -> View[Several[Result]]:
    """The formats of several results of one kind; `blocks` writes one as parts of a comment."""

    def text(several: Several[Result], /, *, color: bool = False, width: int = WIDE) -> str:
        return several_text(several, view.text, color=color, width=width)

    def document(several: Several[Result]) -> dict[str, Any]:
        return several_document({name: view.document(one) for name, one in several.results.items()}, several.errors)

    def parts(several: Several[Result]) -> Iterator[Block]:
        for name, one in several.results.items():
            yield Block([f"## {several.kind} {code(name)}"])
            yield from blocks(one)
        for name, error in several.errors.items():
            yield Block([f"## {several.kind} {code(name)}"])
            yield Block([f"- :x: {escaped(error)}"])

    def is_news(several: Several[Result]) -> bool:
        return bool(several.errors) or any(map(view.is_news, several.results.values()))

    return View(text, document, lambda several: fitted(parts(several)), is_news)


def several_text(several: Several[Result], text: Text[Result], *, color: bool, width: int) -> str:
    """The results for people, each under the name of its store."""
    return "\n".join(
        heading(name, color=color, width=width) + text(one, color=color, width=width)
        for name, one in several.results.items()
    )


def heading(name: str, *, color: bool = False, width: int = WIDE) -> str:
    """The line above what one store has."""
    return rendered([bold(f"== {name} ==")], color=color, width=width)


def several_document(documents: Mapping[str, dict[str, Any]], errors: Mapping[str, str]) -> dict[str, Any]:
    """Writes the documents of several stores as `schema/stores.schema.json` has them."""
    return {"version": VERSION, "stores": dict(documents), **({"errors": dict(errors)} if errors else {})}
