"""SARIF as code scanning takes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.render.formats import Place, View, written
from reconciler.errors import Problem, UsageError
from tests.world import InProcess

VIEW: View[list[Place]] = View(lambda _, /, *, color=False, width=80: "", lambda _: {}, places=lambda found: found)


def results(*places: Place) -> list[dict[str, Any]]:
    document = json.loads(written(VIEW, list(places), "sarif"))
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    rules = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    assert {one["ruleId"] for one in run["results"]} <= rules
    found: list[dict[str, Any]] = run["results"]
    return found


def test_a_problem_has_its_place_and_words() -> None:
    (one,) = results(Place("error", Problem("a b/ü.yaml", 3, 5, "store", "no")))
    assert (one["level"], one["message"]["text"]) == ("error", "store: no")
    (location,) = one["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "a%20b/%C3%BC.yaml"},
        "region": {"startLine": 3, "startColumn": 5},
    }


def test_an_absolute_name_is_a_file_url_and_no_line_is_the_first() -> None:
    (one,) = results(Place("note", Problem("/m/a.yaml", 0, 0, "", "odd")))
    place = one["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("file:///m/a.yaml", 1)


def test_validate_writes_it(tmp_path: Path) -> None:
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    (tmp_path / "mirrors.yaml").write_text("version: 2\nmirrors: no\n")
    document = json.loads(world.run("validate", "--format", "sarif", code=1).stdout)
    lines = [one["locations"][0]["physicalLocation"]["region"]["startLine"] for one in document["runs"][0]["results"]]
    assert sorted(lines) == [1, 1, 2]


def test_a_result_without_places_is_an_error() -> None:
    with pytest.raises(UsageError, match="SARIF"):
        written(View(VIEW.text, VIEW.document), [], "sarif")
