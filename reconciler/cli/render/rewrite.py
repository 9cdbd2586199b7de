"""The edits of files, as text, a diff or a JSON document. Prints nothing."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff
from typing import TYPE_CHECKING, Any

from reconciler.cli.render.formats import Place, View
from reconciler.errors import Problem
from reconciler.frozen import Frozen
from reconciler.words import count, plain, plain_lines

if TYPE_CHECKING:
    from reconciler.rewrite.edits import Edit, Edited


class Rewrite(Frozen):
    """Files with their edits. `written`: whether these were made, not only checked."""

    files: tuple[Edited, ...]
    written: bool

    @property
    def edits(self) -> tuple[Edit, ...]:
        return tuple(edit for one in self.files for edit in one.edits)


def rewrite_text(rewrite: Rewrite, **_: object) -> str:
    """A line for each edit, or the diff that it would make, and a summary."""
    changed = [one for one in rewrite.files if one.edits]
    if rewrite.written:
        shown = "".join(
            plain(f"{one.found.file}:{one.found.line}:{one.found.column}: {one.found.written} -> {one.text}") + "\n"
            for one in rewrite.edits
        )
    else:
        shown = "".join(map(_diff, changed))
    images, files = count(len(rewrite.edits), "reference"), count(len(changed), "file")
    words = "rewritten" if rewrite.written else "to rewrite"
    return shown + (f"{images} {words} in {files}.\n" if changed else "Nothing to rewrite.\n")


def _diff(one: Edited) -> str:
    before, after = (text.splitlines(keepends=True) for text in (one.before, one.after))
    lines = unified_diff(before, after, f"a/{one.file}", f"b/{one.file}")
    return "".join(f"{plain_lines(line.rstrip())}\n" for line in lines)


def rewrite_document(rewrite: Rewrite) -> dict[str, Any]:
    """The same as `schema/rewrite.schema.json` has it."""
    return {
        "version": 1,
        "written": rewrite.written,
        "edits": [
            {"file": one.found.file, "line": one.found.line, "column": one.found.column}
            | {"from": one.found.written, "to": one.text}
            for one in rewrite.edits
        ],
        "kept": [
            {"file": one.file, "line": one.line, "column": one.column, "reference": one.reference, "why": one.why}
            for file in rewrite.files
            for one in file.kept
        ],
        "problems": [
            {"file": one.file, "line": one.line, "column": one.column, "message": one.message}
            for file in rewrite.files
            for one in file.problems
        ],
    }


def _places(rewrite: Rewrite) -> Iterator[Place]:
    for one in () if rewrite.written else rewrite.edits:
        words = f"{one.found.written} is mirrored: write {one.text}"
        yield Place("error", Problem(one.found.file, one.found.line, one.found.column, "", words))


REWRITE: View[Rewrite] = View(rewrite_text, rewrite_document, is_news=lambda one: bool(one.edits), places=_places)
