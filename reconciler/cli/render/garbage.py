"""Garbage of a repository as a line of text or an entry of a JSON document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reconciler.cli.render.sheet import Line
from reconciler.target.removable import Garbage, NotCollected
from reconciler.words import count, size_words


def swept(events: Iterable[object]) -> list[Garbage | NotCollected]:
    """The repositories with garbage to report, or an error. Digests that merely expired are not reported."""
    return [
        one
        for one in events
        if isinstance(one, NotCollected) or (isinstance(one, Garbage) and (one.objects or one.uploads))
    ]


def garbage_line(one: Garbage | NotCollected, verb: str) -> Line:
    """Writes e.g. `library/alpine: 3 unreachable objects removed, 3.4 MiB`."""
    if isinstance(one, NotCollected):
        return Line((f"! {one.target}: no garbage removed: {one.error}", "bold red"))
    uploads = f" and {count(len(one.uploads), 'unfinished upload')}" if one.uploads else ""
    return Line(f"{one.target}: {count(one.objects, 'unreachable object')}{uploads} {verb}, {size_words(one.size)}")


def garbage_entry(one: Garbage | NotCollected, *, keys: bool) -> dict[str, Any]:
    """One repository as `schema/gc.schema.json` and `schema/outcome.schema.json` have it."""
    if isinstance(one, NotCollected):
        return {"target": one.target, "objects": 0, "uploads": 0, "bytes": 0, "error": one.error}
    entry = {
        "target": one.target,
        "objects": one.objects,
        "uploads": len(one.uploads),
        "bytes": one.size,
        "error": None,
    }
    return entry | ({"keys": [str(key) for step in one.steps() for key in step]} if keys else {})
