"""A problem of a file as a part of JSON documents. Prints nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reconciler.errors import Problem


def problem_document(problem: Problem) -> dict[str, Any]:
    """Writes a problem, or a note of the same shape, as the schemas of errors and of `validate` have it."""
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "where": problem.where,
        "message": problem.message,
    }
