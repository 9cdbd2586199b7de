"""Lays out lines and columns for people, with color on a terminal. Only this module and `progress` use rich.

Every piece of text comes out as one line, whatever was in it. rich is imported only to draw: that takes longer than the
rest of a run that finds nothing to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import StringIO
from typing import TYPE_CHECKING, TypeAlias

from reconciler.words import plain

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

Piece: TypeAlias = "str | tuple[str, str]"
"""Text, or text and its style, e.g. `("library/alpine", "bold")`."""

WIDE = 1000
"""Columns where there is no terminal: wide enough that no line is folded."""


class Line:
    """One line, of pieces that follow each other."""

    def __init__(self, *pieces: Piece) -> None:
        self._pieces = pieces

    def drawn(self) -> Text:
        return _text(self._pieces)


class Grid:
    """Rows in columns that are as wide as their widest cell. `right`: columns that are aligned to the right."""

    def __init__(self, gap: int = 2, right: Iterable[int] = ()) -> None:
        self._gap = gap
        self._right = frozenset(right)
        self._rows: list[tuple[Piece, ...]] = []

    def row(self, *cells: Piece) -> None:
        self._rows.append(cells)

    def drawn(self) -> Table:
        from rich.table import Table

        table = Table.grid(padding=(0, self._gap, 0, 0))
        for number in range(max(map(len, self._rows), default=0)):
            table.add_column(justify="right" if number in self._right else "left")
        for cells in self._rows:
            table.add_row(*(_text([cell]) for cell in cells))
        return table


Part: TypeAlias = Line | Grid

EMPTY = Line()


def bold(text: str) -> Line:
    """A line that stands out on a terminal."""
    return Line((text, "bold"))


def rendered(parts: Sequence[Part], *, color: bool, width: int) -> str:
    """Draws the parts for a terminal of that width."""
    from rich.console import Console

    out = StringIO()
    console = Console(
        file=out, width=width, force_terminal=color, color_system="standard" if color else None, highlight=False
    )
    for part in parts:
        console.print(part.drawn())
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _text(pieces: Iterable[Piece]) -> Text:
    from rich.text import Text

    styled = ((piece, "") if isinstance(piece, str) else piece for piece in pieces)
    return Text.assemble(*((plain(text), style) for text, style in styled))
