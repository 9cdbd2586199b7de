from __future__ import annotations

from datetime import date

from reconciler.access.config import TokenConfig
from reconciler.access.listing import TokenState, token_rows


def test_the_names_of_both_sides_are_listed_with_what_they_lack() -> None:
    today = date(2027, 1, 31)
    declared = {
        "b": TokenConfig("b", ("*",), today),
        "a": TokenConfig("a", ("*",), date(2027, 2, 1)),
        "d": TokenConfig("d", ("*",)),
    }
    rows = token_rows(declared, {"a", "b", "c"}, today)
    assert [(row.token.name, row.state) for row in rows] == [
        ("a", TokenState.ACTIVE),
        ("b", TokenState.EXPIRED),
        ("c", TokenState.UNDECLARED),
        ("d", TokenState.MISSING),
    ]
