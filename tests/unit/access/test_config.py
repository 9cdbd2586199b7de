from __future__ import annotations

import json
from datetime import date
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.access.config import TokenConfig, access_json, matches
from tests.parts.private import CASES

TEXT = st.text(alphabet="ab/*", max_size=10)


@pytest.mark.parametrize("case", CASES["globs"], ids=str)
def test_a_glob_matches_as_the_case_says(case: dict[str, Any]) -> None:
    assert matches(case["glob"], case["name"]) == case["matches"]


@given(TEXT, TEXT.map(lambda text: text.replace("*", "")))
def test_a_glob_matches_what_the_globs_of_only_match(glob: str, name: str) -> None:
    assert matches(glob, name) == fnmatchcase(name, glob)


def test_the_worker_gets_names_globs_and_seconds() -> None:
    tokens = {"b": TokenConfig("b", ("x/*",), date(2027, 1, 1)), "a": TokenConfig("a", ("*",))}
    assert json.loads(access_json(tokens)) == {
        "a": {"repositories": ["*"], "expires": None},
        "b": {"repositories": ["x/*"], "expires": 1798761600},
    }
    assert access_json(tokens) == access_json(dict(reversed(tokens.items()))), "the order of the file is no change"
