"""A registry that counts pulls: whole images or none, never a pull too many, and the next run continues."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.apply.outcome import Done, Skipped
from reconciler.errors import Interrupted, QuotaSpent
from reconciler.plan.cost import pulls as pulls_module
from reconciler.plan.cost.pulls import LONGEST_WAIT, LOOK_AGAIN, Pulls, Reading
from reconciler.sources.quota import Quota, duration, parse_quota
from reconciler.target.layout import manifest_key
from reconciler.target.repository import Repository
from tests.bench import V1, V2, V3, Bench, app, check_visible, final, outcome
from tests.memory import Account, MemorySource, MemoryStore
from tests.parts.images import image, index

if TYPE_CHECKING:
    from reconciler.apply.outcome import Outcome
    from tests.parts.images import Image

SINGLE = image({"single": "1"})
NESTED = index(app("nested"), image({"s": "390"}, platform="linux/s390x"))
IMAGES = {"v1": V1, "v2": V2, "v3": V3, "single": SINGLE, "nested": NESTED, "same-as-v1": V1}


def pulls_of(one: Image) -> int:
    return len({manifest.digest for manifest in one.manifests()})


def limited(account: Account | None, images: Mapping[str, Mapping[str, Image]], threads: int = 1) -> Bench:
    bench = Bench.of(**images)
    bench.threads = threads
    for source in bench.sources.values():
        source.account = account
    return bench


def again(bench: Bench, account: Account | None) -> Bench:
    other = bench.again(threads=bench.threads)
    for source in other.sources.values():
        source.account = account
    return other


def split(outcomes: list[Outcome]) -> tuple[set[str], set[str]]:
    done = {f"{one.target}:{one.change.tag}" for one in outcomes if isinstance(one, Done)}
    skipped = {f"{one.target}:{one.change.tag}" for one in outcomes if isinstance(one, Skipped)}
    assert len(done) + len(skipped) == len(outcomes)
    return done, skipped


@given(
    st.integers(0, 30),
    st.sets(st.sampled_from(sorted(IMAGES)), min_size=1),
    st.sets(st.sampled_from(sorted(IMAGES))),
    st.sampled_from([1, 8]),
    st.integers(0, 2),
    st.integers(0, 8),
)
@pytest.mark.slow
def test_any_budget(left: int, some: set[str], others: set[str], threads: int, taken: int, reserved: int) -> None:
    account = Account(left, others=taken, reserved=reserved)
    images = {"a": {tag: IMAGES[tag] for tag in some}, "b": {tag: IMAGES[tag] for tag in others}}
    bench = limited(account, images, threads)
    done, skipped = split(bench.apply())
    assert account.refused == 0
    assert len(account.pulls) <= max(left - reserved, 0)
    assert done | skipped == {f"{target}:{tag}" for target, tags in images.items() for tag in tags}
    check_visible(bench.store)
    published = {
        (target, manifest.digest) for target, tags in images.items() for tag in tags
        for manifest in IMAGES[tag].manifests() if f"{target}:{tag}" in done
    }  # fmt: skip
    in_vain = len(account.pulls) - len(published)
    assert in_vain <= 2 or taken, "one index at the most is read for nothing, with the index in it"
    if left - reserved >= len(
        {(t, m.digest) for t, tags in images.items() for tag in tags for m in IMAGES[tag].manifests()}
    ):
        assert not skipped or taken

    rest = again(bench, None)
    assert split(rest.apply())[1] == set()
    fresh = limited(None, images)
    fresh.apply()
    assert final(rest.store) == final(fresh.store)


def waiting(bench: Bench, told: list[str]) -> list[Outcome]:
    with bench.applying(bench.plan(), waiting_quota=told.append) as events:
        return [outcome(event) for event in events]


@pytest.mark.parametrize("threads", [1, 8])
def test_a_run_that_waits_does_everything_and_is_never_refused(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulls_module, "LOOK_AGAIN", 0.001)
    account = Account(left=1, limit=8, grants=2)
    bench = limited(account, {"a": IMAGES, "b": {"1": V3}}, threads)
    told: list[str] = []
    done, skipped = split(waiting(bench, told))
    assert (len(done), skipped) == (7, set())
    assert account.refused == 0
    assert len(account.pulls) == len(set(account.pulls)), "what two repositories have is fetched once"
    assert told[0].startswith("memory/a:")
    assert "memory has 1 of 8 left, counted over 6 h; checking again every" in told[0]


def test_no_thread_waits_for_what_can_never_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulls_module, "LOOK_AGAIN", 0.001)
    bench = limited(Account(left=3, limit=3, grants=3), {"a": {"1": V1, "2": SINGLE}})
    told: list[str] = []
    skipped, done = waiting(bench, told)
    assert isinstance(done, Done)
    assert isinstance(skipped, Skipped)
    assert "never as many at once" in skipped.reason
    assert not told


def test_a_wait_leaves_the_reserve_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulls_module, "LOOK_AGAIN", 0.001)
    account = Account(left=10, limit=20, grants=1, reserved=10)
    bench, told = limited(account, {"a": {"1": V1}}), list[str]()
    (done,) = waiting(bench, told)
    assert isinstance(done, Done)
    assert account.left == 10
    assert "memory has 10 of 20 left, 10 of them reserved for others, counted over 6 h" in told[0]


def test_a_reserve_that_leaves_too_little_is_to_be_lowered() -> None:
    (skipped,) = limited(Account(left=20, limit=20, reserved=19), {"a": {"1": V1}}).apply()
    assert isinstance(skipped, Skipped)
    assert "never as many at once for us. Lower quota_reserve of memory under registries" in skipped.reason


def reading(source: MemorySource) -> Reading:
    return Reading(source, Repository(MemoryStore(), "a"), "it", source.resolve("1"), None, {})


@pytest.mark.parametrize(("window", "longest"), [(21_600, 21_600), (999_999_999, LONGEST_WAIT)])
def test_a_wait_ends_with_the_window_and_after_a_day(window: int, longest: float) -> None:
    """A quota that never comes back, which is asked for by HEAD as long as its window is, and no longer."""
    account, slept, told = Account(left=1, window=window), list[float](), list[str]()
    source = MemorySource({"1": V1}, account=account)
    pulls = Pulls(threading.Event(), {}, told.append)
    pulls.sleep = slept.append
    with pytest.raises(
        QuotaSpent, match=r"needs 2 pulls, and memory has 1 of 100 left, counted over .*\. All are back"
    ):
        pulls.read(reading(source))
    assert longest <= sum(slept) <= longest + LOOK_AGAIN
    assert len(source.asked("quota")) == len(slept)
    assert len(told) == 1
    assert account.pulls == []


def test_an_interrupted_wait_ends_at_once() -> None:
    account, stop = Account(left=1), threading.Event()
    source = MemorySource({"1": V1}, account=account)
    with pytest.raises(Interrupted):
        Pulls(stop, {}, lambda _: stop.set()).read(reading(source))


def test_those_that_do_not_count_come_first() -> None:
    bench = limited(Account(left=2), {"a": {"1": V1}, "b": {"1": V2}})
    bench.sources["b"].account = None
    done, skipped = split(bench.apply())
    assert (done, skipped) == ({"b:1"}, {"a:1"})
    tags = [key for _, key in bench.store.writes if key.endswith("/1")]
    assert tags == [manifest_key("b", "1")]


def test_what_is_skipped_names_the_quota_and_keeps_its_repository_from_pruning() -> None:
    bench = limited(None, {"a": {"1": SINGLE, "2": SINGLE}})
    bench.apply()
    bench = again(bench, Account(left=2))
    bench.sources["a"].images = {"1": SINGLE, "3": V3}
    bench.when_gone = "prune"
    skipped, prune = bench.apply()
    assert isinstance(skipped, Skipped)
    assert isinstance(prune, Skipped)
    assert skipped.reason.startswith("needs 3 more pulls, and memory has 1 of 100 left, counted over 6 h.")
    assert skipped.reason.endswith("apply again then, let --wait-for-quota wait, or log in")
    assert prune.change.tag == "2"


@pytest.mark.parametrize(
    ("limit", "remaining", "expected"),
    [
        ("100;w=21600", "76;w=21600", (100, 76, 21_600)),
        (" 200; w=21600 ", "0;w=21600", (200, 0, 21_600)),
        ("100", "76", None),
        ("100, 100;w=60", "76", None),
        ("", "76;w=21600", None),
        ("x;w=21600", "76;w=21600", None),
        ("1" * 10 + ";w=21600", "1;w=21600", None),
    ],
)
def test_what_the_headers_say(limit: str, remaining: str, expected: tuple[int, int, int] | None) -> None:
    found = parse_quota("r", {"ratelimit-limit": limit, "ratelimit-remaining": remaining})
    assert found == (Quota("r", *expected) if expected else None)
    assert parse_quota("r", {}) is None


@pytest.mark.parametrize(("seconds", "words"), [(21_600, "6 h"), (900, "15 min"), (90, "90 s"), (0, "0 s")])
def test_durations(seconds: int, words: str) -> None:
    assert duration(seconds) == words
