"""SARIF 2.1.0, which code scanning takes, of the results that have places in files."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from reconciler import __version__
from reconciler.cli.render.formats.json import json_text
from reconciler.errors import UsageError

if TYPE_CHECKING:
    from reconciler.cli.render.formats.view import Place, Result, View

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
RULES = {
    "error": ("mirrors-file", "The mirrors file is not valid."),
    "warning": ("unused", "The value is valid and of no use."),
    "note": ("other-tags", "The entry may choose other tags than in earlier releases."),
}
"""The identifier and the description of the rule, by the level of a result."""


def write_sarif(view: View[Result], result: Result, **_: Any) -> str:
    if view.places is None:
        raise UsageError("this result cannot be written as SARIF")
    rules = [{"id": name, "shortDescription": {"text": words}} for name, words in RULES.values()]
    driver = {"name": "r2mirror", "version": __version__, "rules": rules}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(one) for one in view.places(result)],
    }
    return json_text({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def _result(place: Place) -> dict[str, Any]:
    problem = place.problem
    region = {"startLine": max(problem.line, 1), "startColumn": max(problem.column, 1)}
    where = {"artifactLocation": {"uri": _uri(problem.file)}, "region": region}
    words = f"{problem.where}: {problem.message}" if problem.where else problem.message
    return {
        "ruleId": RULES[place.level][0],
        "level": place.level,
        "message": {"text": words},
        "locations": [{"physicalLocation": where}],
    }


def _uri(file: str) -> str:
    path = PurePath(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
