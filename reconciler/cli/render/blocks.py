"""Markdown for pull-request comments: text from outside made harmless, and blocks of rows that fit a limit. Pure.

A comment that is cut anywhere may end inside a fold or a table, and hide what follows. Here only whole rows are left
out, and each block that lacks some says how many.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from reconciler.frozen import Frozen
from reconciler.regex import expression
from reconciler.words import plain

COMMENT_LIMIT = 65_536
"""The longest comment that GitHub accepts, in characters."""

FOLD_AFTER = 25
"""A table with more rows than this is folded."""

_MARKUP = str.maketrans({letter: f"&#{ord(letter)};" for letter in "`*_[]|~$\\"})
_URL = expression(r"(?<=[A-Za-z]):(?=//)|(?<=www)\.", re.IGNORECASE)
_NOTICED = expression(r"[@#](?=\w)")


def escaped(text: str) -> str:
    """Text from outside as one line of prose: no markup, no link, no image, no mention, no issue reference."""
    # Only comments of pull requests need it, and it is a table of 2,000 names.
    import html

    flat = html.escape(" ".join(plain(text).split()), quote=False)
    # GitHub looks for mentions in what markdown became, where an entity is a letter again; a comment stays in between.
    apart = _NOTICED.sub(lambda match: f"{match[0]}<!-- -->", flat)
    return _URL.sub(lambda match: f"&#{ord(match[0])};", apart).translate(_MARKUP)


def code(text: str) -> str:
    """Text to the letter, e.g. a regular expression: a code span, in which nothing is markup (CommonMark 6.1)."""
    flat = plain(text)
    longest = max((len(run) for run in re.findall("`+", flat)), default=0)
    fence = "`" * (longest + 1)
    room = " " if flat.startswith("`") or flat.endswith("`") or not flat.strip() else ""
    return f"{fence}{room}{flat}{room}{fence}"


class Block(Frozen):
    """Rows that belong together, each one line or more of markdown.

    head       what comes before the first row, e.g. the head of a table
    fold       the words to click on where the rows are folded; empty: they are not
    bullet     what the line that counts the rows left out begins with
    elsewhere  what shows all of the rows
    """

    rows: Sequence[str]
    head: Sequence[str] = ()
    fold: str = ""
    bullet: str = ""
    elsewhere: str = "`r2mirror plan` shows all of them"

    def cost(self) -> int:
        """Counts the characters of the whole block."""
        return self._frame() + sum(len(row) + 1 for row in self.rows)

    def within(self, limit: int) -> str:
        """Writes as many whole rows as `limit` characters hold, and how many there are besides."""
        rest = limit - self._frame()
        shown = []
        for row in self.rows:
            rest -= len(row) + 1
            if rest < 0:
                break
            shown.append(row)
        missing = len(self.rows) - len(shown)
        # A line of its own, for a table takes the next line for a row.
        more = [*([""] if self.head else []), self._more(missing)] if missing else []
        body = "\n".join([*(self.head if shown else ()), *shown, *more])
        return f"<details><summary>{self.fold}</summary>\n\n{body}\n\n</details>" if self.fold else body

    def _more(self, missing: int) -> str:
        return f"{self.bullet}... and {missing} more; {self.elsewhere}."

    def _frame(self) -> int:
        fold = len(f"<details><summary>{self.fold}</summary>\n\n\n\n</details>") if self.fold else 0
        return fold + sum(len(line) + 1 for line in self.head) + len(self._more(len(self.rows))) + 4


def fitted(blocks: Iterable[Block], limit: int = COMMENT_LIMIT) -> str:
    """Writes the blocks, a blank line between two, in at most `limit` characters.

    Small blocks are whole; those that are too large share what is left evenly, so that none of them hides another.
    """
    filled = [block for block in blocks if block.rows]
    rest = limit - 2 * len(filled)
    room: dict[int, int] = {}
    by_size = sorted(range(len(filled)), key=lambda place: filled[place].cost())
    for done, place in enumerate(by_size):
        room[place] = min(filled[place].cost(), rest // (len(filled) - done))
        rest -= room[place]
    return "\n\n".join(block.within(room[place]) for place, block in enumerate(filled)) + "\n"
