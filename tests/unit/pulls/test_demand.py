from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from reconciler.pulls.counts import Counts, counts_bytes
from reconciler.pulls.demand import MOST_REPOSITORIES, OTHERS, Demand, demand, read_demand
from reconciler.target.index import MirrorIndex
from reconciler.target.layout import JSON_HEADERS, counts_key
from tests.bench import V1, Bench
from tests.memory import EPOCH, MemoryStore

names = st.tuples(st.sampled_from([f"r{number}" for number in range(40)]), st.sampled_from("12"))


@given(st.dictionaries(names, st.integers(1, 100)))
def test_all_pulls_are_in_few_values(pulled: dict[tuple[str, str], int]) -> None:
    found = demand(Counts(pulled, {}), MirrorIndex())
    assert sum(found.pulls.values()) == sum(pulled.values())
    assert len(found.pulls) <= MOST_REPOSITORIES + 1
    named = [count for name, count in found.pulls.items() if name != OTHERS]
    totals = sorted(
        (sum(n for (r, _), n in pulled.items() if r == name) for name in {r for r, _ in pulled}), reverse=True
    )
    assert named == totals[:MOST_REPOSITORIES]


def test_it_is_about_the_days_that_are_over() -> None:
    bench = Bench.of(a={"1": V1})
    bench.apply()
    today = EPOCH.date()
    missed = {("a", "1"): 5, ("a", "2"): 5, ("b", "1"): 1}
    for day, count in ((today, 100), (today - timedelta(days=1), 3), (today - timedelta(days=31), 100)):
        body = counts_bytes(day, Counts({("a", "1"): count}, missed))
        bench.store.put(counts_key(day, "one"), body, JSON_HEADERS)
    assert read_demand(bench.store, today) == Demand({"a": 3, OTHERS: 0}, 2)
    assert read_demand(MemoryStore(), today) == Demand({}, 0)
