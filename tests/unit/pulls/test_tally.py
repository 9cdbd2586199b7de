from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from reconciler.pulls.tally import Tally


@given(st.lists(st.integers(0, 9)), st.integers(1, 12))
def test_counts_are_lower_bounds_that_are_close(asked: list[int], limit: int) -> None:
    tally = Tally(limit)
    for number in asked:
        tally.add(("a", str(number)))
        assert len(tally.counts) <= limit
    for name, true in Counter(("a", str(number)) for number in asked).items():
        counted = tally.counts.get(name, 0)
        assert counted <= true <= counted + len(asked) // (limit + 1)
    assert all(tally.counts.values())


def test_a_flood_of_invented_names_does_not_hide_what_is_asked_for_often() -> None:
    tally = Tally(100)
    for number in range(5_000):
        tally.add(("library/redis", "7.4"))
        tally.add(("a", str(number)))
        tally.add(("b", str(number)))
    assert tally.counts["library/redis", "7.4"] > 4_800
