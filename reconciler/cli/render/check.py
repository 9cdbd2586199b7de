"""What a check of mirrors files found, as text or a JSON document. Prints nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from reconciler.cli.render.formats import View
from reconciler.cli.render.sheet import WIDE
from reconciler.words import count, plain

if TYPE_CHECKING:
    from reconciler.errors import Problem
    from reconciler.plan.check import Check, CheckedFile


def check_text(check: Check, *, color: bool = False, width: int = WIDE) -> str:  # noqa: ARG001 as every view
    """Every problem, a line each, and how many mirrors a valid file has."""
    lines = [line for one in check.files for line in _lines(one)]
    return "".join(f"{plain(line)}\n" for line in (*lines, *check.clashes))


def check_document(check: Check) -> dict[str, Any]:
    """A check as `schema/validate.schema.json` has it."""
    return {
        "version": 1,
        "valid": check.is_valid,
        "files": [_entry(one) for one in check.files],
        "clashes": list(check.clashes),
        "warnings": list(check.namesakes),
    }


check_view = View(check_text, check_document)


def _lines(one: CheckedFile) -> Iterator[str]:
    yield from map(str, one.problems)
    if one.mirrors:
        yield f"{one.path}: valid, {count(len(one.mirrors.mirrors), 'mirror')}"


def _entry(one: CheckedFile) -> dict[str, Any]:
    return {
        "file": str(one.path),
        "valid": one.mirrors is not None,
        "mirrors": len(one.mirrors.mirrors) if one.mirrors else None,
        "problems": [_remark(problem) for problem in one.problems],
    }


def _remark(problem: Problem) -> dict[str, Any]:
    return {
        "line": problem.line,
        "column": problem.column,
        "where": problem.where,
        "message": problem.message,
    }
