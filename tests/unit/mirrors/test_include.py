"""The files that `include` names: patterns, what is in the way of them, and bounds."""

from __future__ import annotations

import pytest

from reconciler.mirrors.include import MAX_ENTRIES, MAX_FILES, find_included, matches
from reconciler.mirrors.parse import parse_document

TREE = {
    "": ["mirrors.yaml", "teams", ".git", "z.yaml", "a.yaml", "many"],
    "teams": ["b.yaml", "a.yaml", ".c.yaml", "more", "B.txt"],
    "teams/more": ["d.yaml"],
}


def listing(folder: str) -> list[str]:
    return TREE.get(folder, [])


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("teams/*.yaml", ["teams/a.yaml", "teams/b.yaml"]),
        ("./teams/a.yaml", ["teams/a.yaml"]),
        ("teams/.*.yaml", ["teams/.c.yaml"]),
        ("*/*/d.yaml", ["teams/more/d.yaml"]),
        ("teams/[ab].*", ["teams/a.yaml", "teams/b.yaml"]),
        ("?.yaml", ["a.yaml", "z.yaml"]),
        ("a.yaml/b.yaml", []),
        ("Teams/a.yaml", []),
    ],
)
def test_what_a_pattern_matches(pattern: str, found: list[str]) -> None:
    assert matches(pattern, listing) == found


def found(*patterns: str) -> tuple[list[str], list[str]]:
    lines = "".join(f"- '{one}'\n" for one in patterns)
    document = parse_document(f"version: 1\ninclude:\n{lines}".encode(), "mirrors.yaml")
    names = list(find_included(document, listing, "mirrors.yaml"))
    return names, [f"{one.line}: {one.message}" for one in document.problems]


def test_files_are_included_once_in_the_order_of_their_names_and_never_by_themselves() -> None:
    assert found("z.yaml", "*.yaml", "teams/a.yaml") == (["a.yaml", "teams/a.yaml", "z.yaml"], [])


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("../other.yaml", "leads out of the folder"),
        ("teams/../../x", "leads out of the folder"),
        ("/etc/passwd", "leads out of the folder"),
        ("~/x.yaml", "leads out of the folder"),
        ("**/x.yaml", "has **, which is not supported"),
        ("teams//a.yaml", "is not a path of files"),
        ("team/*.yaml", "matches no file"),
        ("mirrors.yaml", "matches no file"),
    ],
)
def test_a_pattern_of_no_use(pattern: str, message: str) -> None:
    names, problems = found("a.yaml", pattern)
    assert names == ["a.yaml"]
    (problem,) = problems
    assert problem.startswith(f"4: '{pattern}' {message}")


def test_there_is_a_bound_on_files_and_on_what_is_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TREE, "many", [f"{number}.yaml" for number in range(MAX_FILES + 1)])
    names, problems = found("many/*.yaml")
    assert (names, len(problems)) == ([], 1)
    assert "matches 101 files, the maximum is 100" in problems[0]
    monkeypatch.setitem(TREE, "many", [f"{number}.txt" for number in range(MAX_ENTRIES + 1)])
    assert "goes through more than 10000 files" in found("many/*.yaml")[1][0]
