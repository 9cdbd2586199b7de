"""Expressions of our own: compiled late, and the same as those that Python compiles at once."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from reconciler.regex import expression

PACKAGE = Path(__file__).parents[2] / "reconciler"


@given(st.sampled_from(["a+", "(?i)b", "^[a-c]*$", "(x)|y"]), st.text("abcxy", max_size=5))
def test_an_expression_is_what_python_compiles(text: str, subject: str) -> None:
    late, compiled = expression(text, re.ASCII), re.compile(text, re.ASCII)
    for _ in range(2):
        assert (late.pattern, late.flags, late.groups) == (compiled.pattern, compiled.flags, compiled.groups)
        assert bool(late.search(subject)) == bool(compiled.search(subject))
        assert late.findall(subject) == compiled.findall(subject)


def written() -> Iterator[str]:
    """The expressions in the code that are written as one text."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(id="expression"), args=[ast.Constant(value=str(text)), *_]):
                    yield text
                case _:
                    pass


def test_each_expression_can_be_compiled() -> None:
    """A wrong one would only be found where it is first used."""
    found = [*written()]
    assert len(found) > 80, "they are found"
    for text in found:
        re.compile(text)
