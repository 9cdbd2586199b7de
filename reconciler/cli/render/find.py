"""The images that files name, as text or a JSON document. Prints nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from reconciler.cli.render.formats import Place, View
from reconciler.errors import Problem
from reconciler.frozen import Frozen
from reconciler.words import count, plain

if TYPE_CHECKING:
    from reconciler.finding.coverage import Missing
    from reconciler.finding.found import Found
    from reconciler.finding.search import Search


class Findings(Frozen):
    """What a search found.

    missing  the images that are not mirrored; None: that was not asked
    """

    search: Search
    missing: tuple[Missing, ...] | None = None

    @property
    def images(self) -> tuple[Found, ...]:
        """The images that the search is about."""
        return self.search.found if self.missing is None else tuple(one.found for one in self.missing)


def find_text(findings: Findings, **_: object) -> str:
    """A line for each image, and a summary."""
    found = findings.search.found
    images = count(len({one.image for one in found}), "image")
    if findings.missing is None:
        lines = [f"{one.file}:{one.line}:{one.column}: {one.reference}  {one.how}" for one in found]
        summary = f"{images} in {count(len({one.file for one in found}), 'file')}."
    else:
        lines = list(dict.fromkeys(map(str, findings.missing)))
        lacking = len({one.found.image for one in findings.missing})
        summary = f"{lacking} of {images} not mirrored." if lacking else f"{images}, all of them mirrored."
    return "".join(f"{plain(line)}\n" for line in (*lines, summary))


def find_document(findings: Findings) -> dict[str, Any]:
    """The same as `schema/find.schema.json` has it."""
    why = {one.found: one.why for one in findings.missing or ()}
    return {
        "version": 1,
        "files": findings.search.files,
        "images": [_image(one, why.get(one)) for one in findings.images],
        "unresolved": [
            {"file": one.file, "line": one.line, "column": one.column, "how": one.how, "written": one.written}
            | {"why": one.why}
            for one in findings.search.unresolved
        ],
        "problems": [
            {"file": one.file, "line": one.line, "column": one.column, "message": one.message}
            for one in findings.search.problems
        ],
    }


def _image(one: Found, why: str | None) -> dict[str, Any]:
    return {
        "image": str(one.image),
        "reference": one.reference,
        "file": one.file,
        "line": one.line,
        "column": one.column,
        "how": one.how,
        "written": one.written,
        "missing": why,
    }


def _places(findings: Findings) -> Iterator[Place]:
    for one in findings.missing or ():
        words = f"uses {one.found.reference}, {one.why}"
        yield Place("error", Problem(one.found.file, one.found.line, one.found.column, "", words))


FIND: View[Findings] = View(
    find_text, find_document, is_news=lambda one: bool(one.missing or one.missing is None), places=_places
)
