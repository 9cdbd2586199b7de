"""One entry writes every kind of result in every format that it is offered in."""

from __future__ import annotations

import json

import pytest

from reconciler.cli.render.formats import View, written
from reconciler.errors import UsageError

NUMBER: View[int] = View(
    lambda one, /, *, color=False, width=80: f"{one} {color} {width}\n", lambda one: {"number": one}
)


def test_people_get_color_and_width_and_programs_a_document() -> None:
    assert written(NUMBER, 1, "text", color=True, width=7) == "1 True 7\n"
    assert json.loads(written(NUMBER, 1, "json", color=True)) == {"number": 1}


def test_a_format_that_is_not_offered_is_an_error() -> None:
    with pytest.raises(UsageError, match="markdown"):
        written(NUMBER, 1, "markdown")


def test_json_holds_nothing_that_a_workflow_takes_for_a_command() -> None:
    text = written(View(NUMBER.text, lambda one: {"a": f"##[{one}"}), 1, "json")
    assert "##[" not in text
    assert json.loads(text) == {"a": "##[1"}
