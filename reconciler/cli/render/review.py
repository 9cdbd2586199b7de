"""The edits of mirrors.yaml as text, a pull-request comment or a JSON document. Prints nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from reconciler.cli.render.blocks import Block, code, escaped, fitted
from reconciler.cli.render.formats import View
from reconciler.mirrors.review import Code, Edit
from reconciler.words import plain

SIGNS = {"added": "+", "changed": "~", "removed": "-"}

SAID_ONCE = 3
"""How many mirrors must change in the same way to be reported together."""

NAMED = 5
"""How many of them are named then."""


def review_text(edits: Sequence[Edit], **_: object) -> str:
    """Writes a line for each edit, its details indented below it."""
    lines = []
    for edit in said_once(edits):
        lines.append(plain(f"{SIGNS[edit.kind]} {_title(edit)}"))
        lines += [plain(f"    {words}") for words in edit.words]
    return "\n".join([*lines, summary(edits)]) + "\n"


def review_markdown(edits: Sequence[Edit]) -> str:
    """Writes the same as a pull-request comment."""
    return fitted(review_blocks(edits))


def review_blocks(edits: Sequence[Edit]) -> tuple[Block, ...]:
    """The parts of a comment: removals first, then the other edits."""
    told = said_once(edits)
    removed = [_markdown(edit) for edit in told if edit.kind == "removed"]
    others = [_markdown(edit) for edit in told if edit.kind != "removed"]
    elsewhere = "`r2mirror diff` shows all of them"
    return (
        Block([f"**{summary(edits)}**"]),
        Block(removed, bullet="- ", elsewhere=elsewhere),
        Block(others, bullet="- ", elsewhere=elsewhere),
    )


def review_document(edits: Sequence[Edit]) -> dict[str, Any]:
    """The same as `schema/review.schema.json` has it."""
    return {
        "version": 1,
        "edits": [
            {"about": edit.about, "name": edit.name, "kind": edit.kind, "words": list(edit.words)} for edit in edits
        ],
    }


def summary(edits: Sequence[Edit]) -> str:
    """Counts the edits, e.g. `mirrors.yaml: 1 added, 2 changed, 0 removed.`"""
    if not edits:
        return "mirrors.yaml: no change in meaning."
    counts = [f"{sum(edit.kind == kind for edit in edits)} {kind}" for kind in SIGNS]
    return f"mirrors.yaml: {', '.join(counts)}."


def said_once(edits: Sequence[Edit]) -> tuple[Edit, ...]:
    """Moves each line that many changed mirrors share into one edit of its own."""
    sharing: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for edit in edits:
        if (edit.about, edit.kind) == ("mirror", "changed"):
            for line in edit.details:
                sharing[line].append(edit.name)
    shared = {line: names for line, names in sharing.items() if len(names) >= SAID_ONCE}
    by_defaults = {line for edit in edits if edit.about == "defaults" for line in edit.details}
    together = [_together(line, names, line in by_defaults) for line, names in shared.items()]
    return (*together, *(left for edit in edits for left in _left(edit, shared.keys())))


def _together(line: tuple[str, ...], names: Sequence[str], by_defaults: bool) -> Edit:  # noqa: FBT001 one caller
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    name = f"defaults ({len(names)} mirrors)" if by_defaults else f"{len(names)} mirrors"
    return Edit("mirrors", name, "changed", (line, (f"{', '.join(names[:NAMED])}{more}",)))


def _left(edit: Edit, shared: Iterable[tuple[str, ...]]) -> Iterator[Edit]:
    if edit.kind != "changed" or edit.about not in ("mirror", "defaults"):
        yield edit
        return
    details = tuple(line for line in edit.details if line not in shared)
    if details:
        yield replace(edit, details=details)


def _title(edit: Edit) -> str:
    return edit.name if edit.about not in ("registry", "edge", "token", "notifier") else f"{edit.about} {edit.name}"


def _markdown(edit: Edit) -> str:
    lines = (
        "".join(code(piece) if isinstance(piece, Code) else _escaped_piece(piece) for piece in line)
        for line in edit.details
    )
    details = "".join(f"\n  - {line}" for line in lines)
    return f"- `{SIGNS[edit.kind]}` **{escaped(_title(edit))}**{details}"


def _escaped_piece(piece: str) -> str:
    """Escapes a piece of a line, and keeps the spaces at its ends."""
    left, right = len(piece) - len(piece.lstrip()), len(piece) - len(piece.rstrip())
    return f"{' ' * bool(left)}{escaped(piece)}{' ' * bool(right)}"


EDITS: View[Sequence[Edit]] = View(review_text, review_document, review_markdown, bool)
