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

    def laid_out(self, width: int) -> list[str] | None:
        """Returns what is drawn if it is ASCII without styles; None if rich is needed, to fold it or to measure it."""
        line = "".join(map(_words, self._pieces))
        return [line] if len(line) <= width and line.isascii() else None


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

    def laid_out(self, width: int) -> list[str] | None:
        """Returns what is drawn if it is ASCII without styles; None if rich is needed, to fold it or to measure it."""
        rows = [[_words(cell) for cell in cells] for cells in self._rows]
        columns = max(map(len, rows), default=0)
        widths = [max(len(row[place]) for row in rows if place < len(row)) for place in range(columns)]
        if sum(widths) + columns * self._gap > width or not all(cell.isascii() for row in rows for cell in row):
            return None
        pads = [str.rjust if place in self._right else str.ljust for place in range(columns)]
        gap = " " * self._gap
        return [gap.join(pad(cell, most) for pad, cell, most in zip(pads, row, widths, strict=False)) for row in rows]


Part: TypeAlias = Line | Grid

EMPTY = Line()


def bold(text: str) -> Line:
    """A line that stands out on a terminal."""
    return Line((text, "bold"))


def rendered(parts: Sequence[Part], *, color: bool, width: int) -> str:
    """Draws the parts for a terminal of that width."""
    # rich takes a quarter of a millisecond for a row, and some lists have 100,000 of them.
    plain_parts = [None if color else part.laid_out(width) for part in parts]
    if None not in plain_parts:
        return "".join(f"{line.rstrip()}\n" for lines in plain_parts for line in lines or ())
    from rich.console import Console

    out = StringIO()
    console = Console(
        file=out, width=width, force_terminal=color, color_system="standard" if color else None, highlight=False
    )
    for part in parts:
        console.print(part.drawn())
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _words(piece: Piece) -> str:
    return plain(piece if isinstance(piece, str) else piece[0])


def _text(pieces: Iterable[Piece]) -> Text:
    from rich.text import Text

    styled = ((piece, "") if isinstance(piece, str) else piece for piece in pieces)
    return Text.assemble(*((plain(text), style) for text, style in styled))
