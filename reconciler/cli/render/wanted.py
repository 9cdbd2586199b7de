"""The tags that clients asked for and that are not mirrored, as text or a JSON document. Prints nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.cli.render.formats import View
from reconciler.cli.render.sheet import EMPTY, WIDE, Grid, Line, bold, rendered
from reconciler.frozen import Frozen
from reconciler.words import count

if TYPE_CHECKING:
    from reconciler.cli.render.sheet import Part
    from reconciler.pulls.wanted import Wanted

SHOWN = 100
"""How many tags text has; JSON has all."""


class Asked(Frozen):
    """What clients asked for in the last `days` days, with the source of each where mirrors.yaml has one."""

    days: int
    wanted: tuple[tuple[Wanted, str | None], ...]


def wanted_text(asked: Asked, *, color: bool = False, width: int = WIDE) -> str:
    """A line for each tag, those that were asked for most often first, and a summary."""
    table = Grid(right=(1,))
    for one, source in asked.wanted[:SHOWN]:
        table.row(str(one), f"{one.count}x", (f"from {source}" if source else "", "dim"))
    left = len(asked.wanted) - SHOWN
    more = [Line((f"... and {left} more; --format json has all of them", "dim"))] if left > 0 else []
    parts: list[Part] = [table, *more, EMPTY]
    if not asked.wanted:
        return rendered(
            [bold(f"No tag that is not mirrored was asked for in {count(asked.days, 'day')}.")],
            color=color,
            width=width,
        )
    number = count(len(asked.wanted), "tag that is not mirrored was", "tags that are not mirrored were")
    line = f"{number} asked for in {count(asked.days, 'day')}."
    return rendered([*parts, bold(line)], color=color, width=width)


def wanted_document(asked: Asked) -> dict[str, Any]:
    """The same as `schema/wanted.schema.json` has it."""
    return {
        "version": 1,
        "days": asked.days,
        "wanted": [
            {"target": one.target, "tag": one.tag, "count": one.count, "source": source} for one, source in asked.wanted
        ],
    }


WANTED: View[Asked] = View(wanted_text, wanted_document, is_news=lambda one: bool(one.wanted))
