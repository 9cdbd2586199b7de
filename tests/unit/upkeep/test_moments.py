"""The times that people write on the command line."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.upkeep.moments import parse_moment

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-24T03:00Z", datetime(2026, 11, 24, 3, tzinfo=UTC)),
        ("2026-11-24T03:00:30+01:00", datetime(2026, 11, 24, 2, 0, 30, tzinfo=UTC)),
        ("2026-11-24", datetime(2026, 11, 24, tzinfo=UTC)),
        ("90m", NOW - timedelta(minutes=90)),
        ("2d", NOW - timedelta(days=2)),
        ("1w", NOW - timedelta(weeks=1)),
    ],
)
def test_times_and_how_long_ago(text: str, moment: datetime) -> None:
    assert parse_moment(text, NOW) == moment


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2026-11-24T03:00", "add one, e.g. 2026-11-24T03:00Z"),
        ("2026-11-27", "is in the future"),
        ("Tuesday", "is not a valid time; write e.g. 2026-11-24T03:00Z"),
        ("999999w", "before the year 1"),
        ("", "is not a valid time"),
    ],
)
def test_anything_else_is_an_error_that_says_what_to_write(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_moment(text, NOW)


@given(st.text(max_size=30))
def test_any_text_is_a_time_in_the_past_or_an_error(text: str) -> None:
    with suppress(ValueError):
        assert parse_moment(text, NOW) <= NOW
