"""What a lock changes in mirrors.lock: as text, a pull request's description or a JSON document. Prints nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from reconciler.cli.render.blocks import FOLD_AFTER, Block, escaped, fitted
from reconciler.cli.render.formats import View
from reconciler.cli.render.sheet import EMPTY, WIDE, Line, bold, rendered
from reconciler.words import count

if TYPE_CHECKING:
    from reconciler.cli.render.sheet import Part
    from reconciler.lockfile.changes import LockedChange
    from reconciler.oci.spec import Digest
    from reconciler.plan.locking import Locking

SIGNS = {"added": "+", "moved": "~", "removed": "-"}
_COLORS = {"added": "green", "moved": "yellow", "removed": "red"}

SHORT = 12
"""How many digits of a digest are shown; the diff of mirrors.lock has all of them."""


def locking_text(locking: Locking, *, color: bool = False, width: int = WIDE) -> str:
    """A line for each tag whose lock differs, then the summary."""
    parts: list[Part] = [_line(one) for one in locking.changes]
    return rendered([*parts, *([EMPTY] if parts else []), bold(summary(locking))], color=color, width=width)


def summary(locking: Locking) -> str:
    """Counts the tags, e.g. `mirrors.lock: 2 added, 1 moved, 0 removed; 120 tags in 4 repositories.`"""
    kinds: Counter[str] = Counter(one.kind for one in locking.changes)
    repositories = locking.lockfile.repositories.values()
    total = f"{count(sum(len(one.tags) for one in repositories), 'tag')} in {_repositories(len(repositories))}"
    waiting = f"; {count(locking.waiting, 'tag')} not old enough yet" if locking.waiting else ""
    failed = f"; {count(len(locking.errors), 'error')}" if locking.errors else ""
    changed = ", ".join(f"{kinds[kind]} {kind}" for kind in SIGNS) if locking.changes else "no change"
    return f"mirrors.lock: {changed}; {total}{waiting}{failed}."


def _repositories(number: int) -> str:
    return count(number, "repository", "repositories")


def _line(one: LockedChange) -> Line:
    return Line((f"{SIGNS[one.kind]} {one.target}:{one.tag}", _COLORS[one.kind]), f" {_digests(one)}")


def _digests(one: LockedChange) -> str:
    return " -> ".join(_short(digest) for digest in (one.before, one.after) if digest)


def _short(digest: Digest) -> str:
    return f"{digest.algorithm}:{digest.hex[:SHORT]}"


def locking_markdown(locking: Locking) -> str:
    """The same as a pull request's description: removals first, then what moves."""
    rows = {kind: [_row(one) for one in locking.changes if one.kind == kind] for kind in SIGNS}
    elsewhere = "the diff of `mirrors.lock` shows all of them"
    return fitted(
        (
            Block([f"**{escaped(summary(locking))}**"]),
            Block([f"- :x: {escaped(one)}" for one in locking.errors], bullet="- ", elsewhere=elsewhere),
            Block([f"- :warning: {escaped(one)}" for one in locking.warnings], bullet="- ", elsewhere=elsewhere),
            Block(rows["removed"], _TABLE, elsewhere=elsewhere),
            *(Block(rows[kind], _TABLE, _fold(kind, rows[kind]), elsewhere=elsewhere) for kind in ("moved", "added")),
        )
    )


_TABLE = ("| | image | digest |", "| --- | --- | --- |")


def _fold(kind: str, rows: list[str]) -> str:
    return f"{count(len(rows), 'tag')} {kind}" if len(rows) > FOLD_AFTER else ""


def _row(one: LockedChange) -> str:
    return f"| `{SIGNS[one.kind]}` | `{one.target}:{one.tag}` | {_digests(one)} |"


def locking_document(locking: Locking) -> dict[str, Any]:
    """The same as `schema/locking.schema.json` has it."""
    return {
        "version": 1,
        "changes": list(_entries(locking)),
        "errors": list(locking.errors),
        "warnings": list(locking.warnings),
        "waiting": locking.waiting,
    }


def _entries(locking: Locking) -> Iterator[dict[str, Any]]:
    for one in locking.changes:
        yield {
            "kind": one.kind,
            "target": one.target,
            "source": one.source,
            "tag": one.tag,
            "before": str(one.before) if one.before else None,
            "after": str(one.after) if one.after else None,
        }


def _is_news(locking: Locking) -> bool:
    return bool(locking.changes or locking.errors or locking.warnings)


LOCKING: View[Locking] = View(locking_text, locking_document, locking_markdown, _is_news)
