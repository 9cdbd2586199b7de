"""Pulls on the catalog page: written by runs that change something, and no reason to write anything."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import StoreError
from reconciler.oci.spec import OCI_INDEX, Digest
from reconciler.pulls.counts import Counts, counts_bytes
from reconciler.target import page
from reconciler.target.in_store import InStore
from reconciler.target.index import MirrorIndex, RepositoryState, TagState
from reconciler.target.layout import JSON_HEADERS, PAGE, counts_key
from reconciler.target.lists import publish_lists
from reconciler.target.page.pulls import MOST, Pulls, with_pulls, with_pulls_of, without_pulls
from tests import strategies as draw
from tests.bench import V1, V2, V3, Bench, look, shown
from tests.memory import EPOCH, Fault, MemoryStore, Operation

if TYPE_CHECKING:
    import pytest


TODAY = EPOCH.date()
YESTERDAY = TODAY - timedelta(days=1)
SINCE = TODAY - timedelta(days=30)


def index_of(*tags: str) -> MirrorIndex:
    states = {tag: TagState(Digest.of(tag.encode()), OCI_INDEX, 1000, None, EPOCH, None) for tag in tags}
    return MirrorIndex(1, {"a": RepositoryState("docker.io/a", states)})


def counted(store: MemoryStore, day: date, pulled: dict[tuple[str, str], int], writer: str = "one") -> None:
    store.put(counts_key(day, writer), counts_bytes(day, Counts(pulled, {})), JSON_HEADERS)


def mirrored() -> Bench:
    """A mirror of `a:1`, with `a:2` to be mirrored. Without an index, a run goes by the clock of this machine."""
    bench = Bench.of(a={"1": V1})
    bench.apply()
    bench.sources["a"].images["2"] = V2
    return bench


def pulls_of(body: bytes) -> dict[str, dict[str, int]] | None:
    found = re.findall(rb'<script id="pulls" type="application/json">(.*?)</script>', body)
    return json.loads(found[0])["repositories"] if found else None


@given(draw.indexes, st.data())
def test_they_come_off_and_on_again_and_are_of_tags_that_are_there(index: MirrorIndex, data: st.DataObject) -> None:
    body = page.render(index)
    names = [(name, tag) for name, one in index.repositories.items() for tag in one.tags]
    count = st.integers(1, 2**53)
    counts = data.draw(st.dictionaries(st.sampled_from(names), count)) if names else {}
    pulls = Pulls(SINCE, YESTERDAY, {**counts, ("no/such", "tag"): 7}).of(index)
    assert pulls.counts == counts
    shown = with_pulls(body, pulls)
    assert (shown == body) == (not counts)
    assert without_pulls(shown) == body
    assert with_pulls_of(body, shown) == shown
    assert page.is_ours(shown)
    assert page.says_the_same(shown, body)
    assert pulls_of(shown) == (
        {name: {t: n for (one, t), n in counts.items() if one == name} for name in {name for name, _ in counts}} or None
    )


def test_damaged_ones_are_damage_and_are_not_kept() -> None:
    body = page.render(index_of("1"))
    whole = with_pulls(body, Pulls(SINCE, YESTERDAY, {("a", "1"): 5}))
    for damaged in (
        whole.replace(b'"1":5', b'"1":5,'),
        whole.replace(b'"a"', b'"<b>"'),
        whole.replace(b'{"since', b'["since'),
    ):
        assert damaged != whole
        assert not page.says_the_same(damaged, body)
        assert with_pulls_of(body, damaged) == body


def test_only_the_tags_with_the_most_are_in_the_page() -> None:
    tags = [f"{number}" for number in range(MOST + 10)]
    pulls = Pulls(SINCE, YESTERDAY, {("a", tag): int(tag) + 1 for tag in tags}).of(index_of(*tags))
    assert len(pulls.counts) == MOST
    assert min(pulls.counts.values()) == 11


def test_an_apply_shows_those_of_the_days_that_are_over_and_one_without_changes_writes_nothing() -> None:
    bench = mirrored()
    counted(bench.store, YESTERDAY, {("a", "1"): 3, ("gone", "1"): 9})
    counted(bench.store, SINCE, {("a", "1"): 4}, "two")
    counted(bench.store, SINCE - timedelta(days=1), {("a", "1"): 100})
    counted(bench.store, TODAY, {("a", "1"): 1000})
    bench.apply()
    assert pulls_of(bench.store.objects[PAGE]) == {"a": {"1": 7}}
    counted(bench.store, YESTERDAY, {("a", "1"): 5}, "late")
    again = bench.again()
    assert again.apply() == []
    assert again.store.writes == []
    assert look(again).open == ()


def test_a_repair_keeps_them_and_a_page_that_lost_them_gets_them_back() -> None:
    bench = mirrored()
    counted(bench.store, YESTERDAY, {("a", "1"): 3})
    bench.apply()
    whole = bench.store.objects[PAGE]
    with ThreadPoolExecutor(1) as executor:
        publish_lists(InStore(bench.store, bench.store), {PAGE: without_pulls(whole)}, executor)
    assert bench.store.objects[PAGE] == whole
    del bench.store.objects[PAGE]
    look(bench, repair=True)
    assert bench.store.objects[PAGE] == without_pulls(whole)
    bench.sources["a"].images["3"] = V3
    bench.apply()
    assert pulls_of(bench.store.objects[PAGE]) == {"a": {"1": 3}}
    assert list(shown(bench.store.objects[PAGE])["a"]) == ["1", "2", "3"]


def test_counts_that_cannot_be_read_leave_the_page_with_those_it_has(caplog: pytest.LogCaptureFixture) -> None:
    bench = mirrored()
    counted(bench.store, YESTERDAY, {("a", "1"): 3})
    bench.apply()
    del bench.store.objects[counts_key(YESTERDAY, "one")]
    bench.sources["a"].images["3"] = V3
    plan, listing = bench.plan(), Operation("list", "_mirror/pulls/2026-10-")
    clean = bench.again()
    clean.apply(plan)
    at = clean.store.operations.index(listing)
    assert pulls_of(clean.store.objects[PAGE]) is None
    failing = bench.again(fault=Fault(at, StoreError("memory:bucket", "does not answer"), lasting=False))
    failing.apply(plan)
    assert failing.store.operations[at] == listing
    assert pulls_of(failing.store.objects[PAGE]) == {"a": {"1": 3}}
    assert "keeps the pulls that it shows" in caplog.text
