"""What a search finds in one file: images with their places, and what cannot be known from the file. Pure."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import field
from functools import cached_property
from typing import TypeAlias

from reconciler.errors import Malformed, Problem
from reconciler.finding.image import Image
from reconciler.frozen import Frozen, Ordered


class Found(Ordered):
    """An image that a file names.

    reference     as a client pulls it: variables have their defaults
    line, column  of the reference, counted from 1
    how           what names it, e.g. `services.web.image` or `FROM`
    start, end    the range of characters that it is written in
    written       these characters; not the reference where variables are part of it
    """

    file: str
    line: int
    column: int
    reference: str
    how: str
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)
    written: str = field(default="", compare=False)

    @property
    def image(self) -> Image:
        return Image.parse(self.reference)


class Unresolved(Ordered):
    """A place that names an image which the file alone does not tell, e.g. by a variable without a default."""

    file: str
    line: int
    column: int
    written: str
    how: str
    why: str


Item: TypeAlias = Found | Unresolved | Problem
"""A `Problem` is a part of the file that cannot be read."""


class Text(Frozen):
    """The text of a file, in which places are counted."""

    text: str
    file: str

    @cached_property
    def _lines(self) -> list[int]:
        return [0, *(at + 1 for at, letter in enumerate(self.text) if letter == "\n")]

    def place(self, offset: int) -> tuple[int, int]:
        """Returns the line and the column of a character, counted from 1."""
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1

    def found(self, reference: str, start: int, end: int, how: str) -> Found | Unresolved:
        """Returns the image that is written from `start` to `end`, or why it cannot be one."""
        try:
            Image.parse(reference)
        except Malformed as error:
            return self.unresolved(start, end, how, error.why)
        return Found(self.file, *self.place(start), reference, how, start, end, self.text[start:end])

    def unresolved(self, start: int, end: int, how: str, why: str) -> Unresolved:
        """Returns what is written from `start` to `end`, and why it tells no image."""
        return Unresolved(self.file, *self.place(start), self.text[start:end][:200], how, why)

    def problem(self, line: int, column: int, message: str) -> Problem:
        """Returns a part of the file that cannot be read."""
        # A parser may stop in a line after the last one.
        return Problem(self.file, min(line, self.text.count("\n") + 1), column, "", message)
