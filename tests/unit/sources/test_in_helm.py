"""The names of charts in chart repositories."""

from __future__ import annotations

import pytest

from reconciler.errors import Malformed
from reconciler.sources.kinds import parse_source


@pytest.mark.parametrize(
    ("text", "place", "target"),
    [
        ("helm:https://charts.example.com/stable//nginx", "helm:https://charts.example.com/stable", "nginx"),
        ("helm:https://charts.example.com//nginx", "helm:https://charts.example.com", "nginx"),
        ("helm:https://charts.example.com/stable///nginx", "helm:https://charts.example.com/stable", "nginx"),
        ("helm:http://127.0.0.1:8080/a/b//My.Chart", "helm:http://127.0.0.1:8080/a/b", None),
    ],
)
def test_a_name(text: str, place: str, target: str | None) -> None:
    name = parse_source(text)
    assert (name.place, name.target, name.repository, name.path) == (place, target, None, None)
    assert parse_source(name.text) == name


@pytest.mark.parametrize(
    "text",
    [
        "helm:",
        "helm:nginx",
        "helm:https://charts.example.com",
        "helm:https://charts.example.com//",
        "helm:https://me:secret@charts.example.com//nginx",
        "helm:https://charts.example.com/a?b//nginx",
        "helm:ftp://charts.example.com//nginx",
        "helm:https://charts.example.com//a b",
        "helm:https://charts.example.com//a/b",
    ],
)
def test_what_is_not_a_name(text: str) -> None:
    with pytest.raises(Malformed, match="names no chart of a repository"):
        parse_source(text)
