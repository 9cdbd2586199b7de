from __future__ import annotations

import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from reconciler.errors import Malformed
from reconciler.mirrors.schema_files import load_schema
from reconciler.pulls.counts import MAX_MISSED, Counts, counts_bytes, parse_counts, total

DAY = date(2026, 11, 26)
SIDES = st.dictionaries(
    st.tuples(st.sampled_from(("a", "team/app")), st.from_regex(r"[a-z0-9][a-z0-9.-]{0,9}", fullmatch=True)),
    st.integers(1, 2**53),
)


@given(SIDES, SIDES)
def test_what_is_written_is_read_back_and_as_the_schema_has_it(
    pulled: dict[tuple[str, str], int], missed: dict[tuple[str, str], int]
) -> None:
    body = counts_bytes(DAY, Counts(pulled, missed))
    assert parse_counts(body, "x") == Counts(pulled, missed)
    Draft202012Validator(load_schema("pulls")).validate(json.loads(body))


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"version": 2, "day": "2026-11-26", "pulled": {}, "missed": {}},
        {"version": 1, "pulled": {}},
        {"version": 1, "pulled": {}, "missed": []},
        {"version": 1, "pulled": {}, "missed": {"a": 1}},
        {"version": 1, "pulled": {}, "missed": {"../a": {"1": 1}}},
        {"version": 1, "pulled": {}, "missed": {"a/manifests": {"1": 1}}},
        {"version": 1, "pulled": {}, "missed": {"a": {"\x1b[2J": 1}}},
        *({"version": 1, "pulled": {}, "missed": {"a": {"1": bad}}} for bad in (0, -1, 1.5, True, "1", None, 2**60)),
        {"version": 1, "pulled": {}, "missed": {"a": {str(number): 1 for number in range(MAX_MISSED + 1)}}},
    ],
)
def test_anything_else_is_refused(document: object) -> None:
    with pytest.raises(Malformed):
        parse_counts(json.dumps(document).encode(), "x")


def test_writers_and_days_are_added_up() -> None:
    parts = (Counts({("a", "1"): 1}, {}), Counts({("a", "1"): 2, ("a", "2"): 5}, {("b", "1"): 3}))
    assert total(parts) == Counts({("a", "1"): 3, ("a", "2"): 5}, {("b", "1"): 3})
