"""What patterns choose of a tag list, as text or a JSON document. Prints nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.cli.render.formats import View
from reconciler.cli.render.sheet import EMPTY, WIDE, Grid, Line, bold, rendered
from reconciler.words import count

if TYPE_CHECKING:
    from reconciler.cli.render.sheet import Part
    from reconciler.plan.tags import Choice, Row


def tags_text(choice: Choice, *, color: bool = False, width: int = WIDE) -> str:
    """The tags that are left out, then those that are chosen, then a summary: what matters is above the prompt."""
    if not choice.patterns:
        return "".join(f"{row.tag}\n" for row in choice.rows)
    out, chosen = Grid(), Grid()
    for row in choice.rows:
        if row.pattern is None:
            out.row((f"- {row.tag}", "dim"), (row.reason or "", "dim"))
        else:
            # A single pattern chooses all of them, and was typed above.
            pattern = [row.pattern] if len(choice.patterns) > 1 else []
            chosen.row((f"+ {row.tag}", "green"), *pattern, (_name(row), "dim"))
    missing = [Line((f"! {tag}  is named, but not in the list", "red")) for tag in choice.missing]
    parts: list[Part] = []
    if len(choice.rows) > len(choice.chosen):
        parts += [out, EMPTY]
    if choice.chosen:
        parts += [chosen, EMPTY]
    parts += [*missing, EMPTY] if missing else []
    of = f" of {choice.source}" if choice.source else ""
    summary = f"{len(choice.chosen)} of {count(len(choice.rows), 'tag')}{of} chosen."
    return rendered([*parts, bold(summary)], color=color, width=width)


def _name(row: Row) -> str:
    return f"a name of {row.name_of}" if row.name_of else ""


def tags_document(choice: Choice) -> dict[str, Any]:
    """The choice as `schema/tags.schema.json` has it."""
    return {
        "version": 1,
        "source": choice.source or None,
        "patterns": list(choice.patterns),
        "exclude": list(choice.exclude),
        "tags": [
            {
                "tag": row.tag,
                "chosen": row.pattern is not None,
                "pattern": row.pattern,
                "reason": row.reason,
                "name_of": row.name_of,
            }
            for row in choice.rows
        ],
        "missing": list(choice.missing),
        "warnings": list(choice.warnings),
    }


tags_view = View(tags_text, tags_document)
