"""The language that rules are written in: what is understood of it, and what is refused."""

from __future__ import annotations

import pytest

from reconciler.edge.language import parse_condition, parse_value
from tests.parts.rules_language import holds


@pytest.mark.parametrize(
    "text",
    [
        'http.request.uri.path matches "^/v2"',
        'http.cookie eq "a"',
        'http.host eq "a" http.host eq "b"',
        'http.host eq "a" and',
        '(http.host eq "a"',
        "http.host eq http.host",
        'http.host eq "a" # b',
    ],
)
def test_the_parser_takes_nothing_that_it_does_not_know(text: str) -> None:
    with pytest.raises(ValueError, match=r"not understood|expected|not an operator|not a field"):
        parse_condition(text)


def test_not_binds_before_and_before_or() -> None:
    condition = parse_condition('not http.host eq "a" and http.host eq "b" or http.host in {"c" "d"}')
    assert [host for host in "abcd" if holds(condition, {"http.host": host})] == ["b", "c", "d"]


def test_only_the_end_of_a_value_is_taken() -> None:
    with pytest.raises(ValueError, match="only the end"):
        parse_value("substring(http.request.uri.path, 3)")
