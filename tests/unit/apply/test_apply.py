"""Apply, interrupted between any two of its writes: their order, what waits for what, and what a dead run leaves."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache

import pytest

from reconciler.apply.apply import apply
from reconciler.apply.outcome import Done, Failed, Skipped
from reconciler.apply.settings import Resources, Settings
from reconciler.errors import (
    LockHeld,
    LockLost,
    MirrorError,
    PlanRefused,
    PreconditionFailed,
    StoreDenied,
    StoreUnreachable,
    Unreachable,
)
from reconciler.mirrors.patterns import Exact
from reconciler.oci.spec import Descriptor, Digest
from reconciler.target.in_store import InStore
from reconciler.target.index import TagState
from reconciler.target.index_changes import published
from reconciler.target.index_json import parse
from reconciler.target.layout import (
    CATALOG,
    LOCK,
    MIRROR_INDEX,
    PAGE,
    PING,
    blob_key,
    manifest_key,
    tags_key,
)
from reconciler.target.ledger import read_index, write_index
from reconciler.target.lock import LIFETIME
from reconciler.target.removable import Garbage
from tests.bench import NOW, RETAIN, V1, V2, V3, Bench, Clock, app, check_visible, expire_lock, final, outcome
from tests.chain import other_writes
from tests.memory import Fault, Killed, MemorySource, MemoryStore, Operation, mirror, put_json, put_lock
from tests.world import walk


def put_positions(store: MemoryStore) -> dict[str, int]:
    """Key -> the number of its write."""
    return {key: number for number, (_, key) in enumerate(store.writes)}


@pytest.mark.parametrize("threads", [1, 8])
def test_writes_go_from_what_is_referred_to_upwards(threads: int) -> None:
    bench = Bench.of(a={"1": V1, "2": V2}, b={"1": V1})
    bench.threads = threads
    bench.apply()
    at = put_positions(bench.store)
    for target, tag, one in (("a", "1", V1), ("a", "2", V2), ("b", "1", V1)):
        root = at[manifest_key(target, Digest.parse(one.digest))]
        for child in one.children:
            child_at = at[manifest_key(target, Digest.parse(child.digest))]
            assert child_at < root
            assert all(at[blob_key(target, Digest.parse(blob))] < child_at for blob in child.blobs)
        assert root < at[manifest_key(target, tag)] < at[MIRROR_INDEX] < at[tags_key(target)]
    assert at[MIRROR_INDEX] < min(at[CATALOG], at[PING], at[PAGE])
    assert bench.store.writes[0] == ("put", LOCK)
    assert bench.store.writes[-1] == ("delete", LOCK)
    check_visible(bench.store)
    assert bench.progress.sizes["wanted"] == bench.progress.sizes["copied"]


def test_a_prune_is_in_the_index_before_the_tag_goes_and_in_the_list_after() -> None:
    bench = Bench.of(a={"1": V1, "2": V2, "3": V2})
    bench.apply()
    bench = bench.again()
    outcomes = bench.apply(bench.plan(mirror("a", Exact("2"))))
    assert [(type(o), o.change.tag) for o in outcomes] == [(Done, "1"), (Done, "3")]
    assert other_writes(bench.store) == [
        ("put", LOCK),
        ("put", MIRROR_INDEX),
        ("delete", manifest_key("a", "1")),
        ("delete", manifest_key("a", "3")),
        ("put", MIRROR_INDEX),
        ("put", tags_key("a")),
        ("put", PAGE),
        ("delete", LOCK),
    ]
    recorded = parse(bench.store.objects[MIRROR_INDEX], "it").repositories["a"]
    assert set(recorded.retired) == {Digest.parse(V1.digest)}, "3 was another name of 2"
    assert walk(bench.store.objects.__getitem__, "a", V1.digest), "a retired digest stays pullable"


def test_the_list_of_a_repository_without_tags_goes() -> None:
    bench = Bench.of(a={"1": V1}, b={"1": V1})
    bench.apply()
    bench = bench.again()
    bench.apply(bench.plan(mirror("b")))
    assert tags_key("a") not in bench.store.objects
    assert json.loads(bench.store.objects[CATALOG]) == {"repositories": ["b"]}


def test_nothing_to_do_writes_nothing() -> None:
    bench = Bench.of(a={"1": V1, "latest": V1})
    bench.apply()
    bench = bench.again()
    assert bench.apply() == []
    assert bench.store.writes == []
    assert {operation.kind for operation in bench.sources["a"].operations} == {"tags", "resolve"}


def test_nothing_to_do_is_found_out_with_one_look_at_the_lock() -> None:
    """Where the caller still has the mirror index that the plan was made from."""
    bench = Bench.of(a={"1": V1})
    bench.apply()
    bench = bench.again()
    observed = read_index(MemoryStore(bench.store.objects))
    with ThreadPoolExecutor(1) as executor:
        resources = Resources(bench.open_source, InStore(bench.store, bench.store), executor, executor, bench.progress)
        assert list(apply(bench.plan(), resources, Settings("r2mirror apply", lambda _: RETAIN), observed)) == []
    assert [(one.kind, one.key) for one in bench.store.operations] == [("get", LOCK)]


@pytest.mark.parametrize("threads", [1, 8])
def test_what_many_want_is_fetched_once(threads: int) -> None:
    bench = Bench.of(a={"1": V1, "1.0": V1, "latest": V1, "2": V2})
    bench.threads = threads
    assert len(bench.apply()) == 4
    for kind in ("manifest", "blob"):
        asked = bench.sources["a"].asked(kind)
        assert len(asked) == len(set(asked))
    blobs = {**V1.all_blobs(), **V2.all_blobs()}
    assert set(bench.sources["a"].asked("blob")) == set(blobs)
    assert len(blobs) < len(V1.all_blobs()) + len(V2.all_blobs()), "they share a layer"
    uploads = [key for kind, key in bench.store.operations if kind == "upload"]
    assert sorted(uploads) == sorted(blob_key("a", Digest.parse(blob)) for blob in blobs)


def test_what_is_there_is_not_fetched_again() -> None:
    bench = Bench.of(a={"1": V1})
    bench.apply()
    bench = bench.again()
    bench.sources["a"].images["2"] = V2
    bench.apply()
    assert set(bench.sources["a"].asked("blob")) == set(V2.all_blobs()) - set(V1.all_blobs())


LAYER = min(set(V2.children[0].blobs) - set(V1.all_blobs()))
RIGHT = V2.all_blobs()[LAYER]
WRONG = {
    "empty": b"",
    "others": b"others",
    "one more": RIGHT + b"x",
    "one less": RIGHT[:-1],
    "as many others": bytes(len(RIGHT)),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_bytes_are_fetched_again(wrong: bytes) -> None:
    bench = Bench.of(a={"2": V2})
    bench.sources["a"].broken[LAYER] = [wrong, wrong]
    assert [type(outcome) for outcome in bench.apply()] == [Done]
    assert bench.sources["a"].asked("blob").count(LAYER) == 3
    assert bench.progress.sizes["wanted"] == bench.progress.sizes["copied"], "wrong bytes are taken back"
    check_visible(bench.store)


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_bytes_that_stay_wrong_are_reported_and_never_visible(wrong: bytes) -> None:
    bench = Bench.of(a={"1": V1, "2": V2})
    bench.sources["a"].broken[LAYER] = [wrong] * 3
    outcomes = {one.change.tag: one for one in bench.apply()}
    failed = outcomes["2"]
    assert isinstance(failed, Failed)
    assert LAYER in failed.error
    assert isinstance(outcomes["1"], Done)
    key = blob_key("a", Digest.parse(LAYER))
    assert key not in {operation.key for operation in bench.store.operations}
    assert manifest_key("a", "2") not in bench.store.objects
    check_visible(bench.store)


def test_a_failure_keeps_its_repository_from_pruning_and_no_other() -> None:
    bench = Bench.of(a={"1": V1}, b={"1": V1})
    bench.apply()
    bench.when_gone = "prune"
    bench = bench.again()
    for source in bench.sources.values():
        source.images = {"2": V2, "3": V3}
    bench.sources["a"].broken[V2.digest] = [Unreachable("memory/a", "no answer")]
    outcomes = bench.apply()
    assert {(o.target, o.change.tag): type(o) for o in outcomes} == {
        ("a", "1"): Skipped,
        ("a", "2"): Failed,
        ("a", "3"): Done,
        ("b", "1"): Done,
        ("b", "2"): Done,
        ("b", "3"): Done,
    }
    assert manifest_key("a", "1") in bench.store.objects
    assert manifest_key("b", "1") not in bench.store.objects
    assert json.loads(bench.store.objects[tags_key("a")])["tags"] == ["1", "3"]


@pytest.mark.parametrize("allow_prune", [False, True])
def test_many_prunes_wait_for_a_word_and_adds_do_not(allow_prune: bool) -> None:
    bench = Bench.of(a={f"1.{number}": V1 for number in range(11)})
    bench.apply()
    bench.when_gone = "prune"
    bench = bench.again()
    bench.sources["a"].images = {"2": V2}
    outcomes = bench.apply(allow_prune=allow_prune)
    assert len([o for o in outcomes if isinstance(o, Done)]) == (12 if allow_prune else 1)
    assert all("--allow-prune" in o.reason for o in outcomes if isinstance(o, Skipped))
    tags = json.loads(bench.store.objects[tags_key("a")])["tags"]
    assert len(tags) == (1 if allow_prune else 12)


def test_a_stale_plan_is_refused_and_nothing_is_done() -> None:
    bench = Bench.of(a={"1": V1}, b={"1": V1})
    stale = bench.plan(mirror("a"))
    bench.apply(bench.plan(mirror("b")))
    before = dict(bench.store.objects)
    with pytest.raises(PlanRefused, match="made from serial 0, now it has serial 2"):
        bench.apply(stale)
    assert bench.store.objects == before, "the lock is given back too"


def test_while_another_apply_is_at_work_nothing_is_done() -> None:
    bench = Bench.of(a={"1": V1})
    put_lock(bench.store, "another apply")
    before = dict(bench.store.objects)
    with pytest.raises(LockHeld, match="'another apply'"):
        bench.apply()
    assert bench.store.objects == before


def test_a_lock_that_was_left_behind_has_the_lists_put_right_even_with_nothing_else_to_do() -> None:
    bench = Bench.of(a={"1": V1}, b={"1": V1})
    bench.apply()
    whole = final(bench.store)
    put_lock(bench.store, "died", age=LIFETIME)
    put_json(bench.store, tags_key("a"), b'{"name":"a","tags":[]}')
    del bench.store.objects[CATALOG]
    bench = bench.again()
    assert bench.apply() == []
    assert final(bench.store) == whole
    assert {key for _, key in bench.store.writes} == {LOCK, tags_key("a"), CATALOG}, "what is right is left alone"


def test_an_index_that_was_written_concurrently_is_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock was broken by hand, say, and the other did not see ours."""
    bench = Bench.of(a={"1": V1})
    theirs = TagState(Digest.parse(V2.digest), V2.media_type, V2.size, None, NOW)
    fetched = bench.sources["a"].manifest

    def while_others_write(descriptor: Descriptor) -> bytes:
        observed = read_index(bench.store)
        write_index(bench.store, observed, lambda i: published(i, "b", "b", {"1": theirs}, NOW))
        return fetched(descriptor)

    monkeypatch.setattr(bench.sources["a"], "manifest", while_others_write)
    assert [type(one) for one in bench.apply()] == [Done]
    recorded = parse(bench.store.objects[MIRROR_INDEX], "it")
    assert {target: set(one.tags) for target, one in recorded.repositories.items()} == {"a": {"1"}, "b": {"1"}}
    assert recorded.serial == 3
    assert json.loads(bench.store.objects[CATALOG]) == {"repositories": ["a", "b"]}


def test_closed_early_it_records_what_is_done_and_leaves_whole_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.apply.run.RECORD_EVERY", 0.0)
    bench = Bench.of(a={str(number): app(str(number)) for number in range(30)})
    with bench.applying(bench.plan()) as outcomes:
        done = outcome(next(outcomes))
    recorded = parse(bench.store.objects[MIRROR_INDEX], "it").repositories["a"].tags
    assert done.change.tag in recorded
    assert json.loads(bench.store.objects[tags_key("a")])["tags"] == sorted(recorded)
    assert manifest_key("a", "9") not in bench.store.objects, "it stopped"
    check_visible(bench.store)
    bench = bench.again()
    bench.apply()
    clean = Bench.of(a={str(number): app(str(number)) for number in range(30)})
    clean.apply()
    assert final(bench.store) == final(clean.store)


def test_a_store_that_refuses_ends_the_run_and_what_is_done_is_not_lost() -> None:
    bench = Bench.of(a={"1": V1, "2": V2})
    bench.apply(bench.plan(mirror("a", Exact("1"))))
    bench = bench.again(fault=Fault(12, StoreDenied("memory:bucket", "no"), lasting=True))
    with pytest.raises(StoreDenied):
        bench.apply()
    check_visible(bench.store)


V4 = app("4")
V4_ALONE = ({*V4.all_blobs()} - {*V1.all_blobs()}) | {manifest.digest for manifest in V4.manifests()}


@pytest.mark.parametrize("seen", range(1, 6))
def test_closed_after_any_outcome_everything_told_of_is_recorded(seen: int) -> None:
    bench = before_a_mixed_plan()
    with bench.applying(bench.plan()) as outcomes:
        told = [outcome(next(outcomes)) for _ in range(seen)]
    recorded = parse(bench.store.objects[MIRROR_INDEX], "it").repositories
    for one in told:
        there = one.change.tag in recorded[one.target].tags
        assert there == (one.change.after is not None)
    for target, state in recorded.items():
        listed = json.loads(bench.store.objects.get(tags_key(target), b'{"tags": []}'))["tags"]
        assert listed == sorted(state.tags)
    bench = bench.again()
    bench.apply()
    assert final(bench.store) == final(mixed_run().store)


def test_closed_at_a_skipped_prune_what_was_published_is_recorded() -> None:
    bench = Bench.of(a={"1": V1})
    bench.apply()
    bench.when_gone = "prune"
    bench = bench.again()
    bench.sources["a"].images = {"2": V2, "3": V3}
    bench.sources["a"].broken[V2.digest] = [Unreachable("memory/a", "no answer")]
    with bench.applying(bench.plan()) as outcomes:
        kinds = [type(next(outcomes)) for _ in range(3)]
    assert kinds[-1] is Skipped
    assert set(parse(bench.store.objects[MIRROR_INDEX], "it").repositories["a"].tags) == {"1", "3"}
    assert json.loads(bench.store.objects[tags_key("a")])["tags"] == ["1", "3"]


def test_a_run_that_fails_late_does_not_block_and_leaves_a_sign() -> None:
    clean = mixed_run()
    last_list = clean.store.operations.index(Operation("put", CATALOG))
    bench = before_a_mixed_plan().again(fault=Fault(last_list, StoreUnreachable("memory:bucket", "x"), lasting=False))
    with pytest.raises(StoreUnreachable):
        bench.apply()
    bench = bench.again()
    assert bench.apply() == []
    assert final(bench.store) == final(clean.store)


def test_a_stale_plan_does_not_wipe_out_the_sign_of_a_run_that_died() -> None:
    bench = Bench.of(a={"1": V1})
    stale = bench.plan()
    bench.apply()
    whole = final(bench.store)
    put_lock(bench.store, "died", age=LIFETIME)
    del bench.store.objects[tags_key("a")]
    with pytest.raises(PlanRefused):
        bench.apply(stale)
    bench = bench.again()
    assert bench.apply() == []
    assert final(bench.store) == whole


def test_after_a_death_only_tags_that_were_about_to_go_are_removed() -> None:
    bench = Bench.of(a={"1": V1, "2": V2})
    bench.apply()
    only_2 = mirror("a", Exact("2"))
    clean = bench.again()
    clean.apply(clean.plan(only_2))
    at = next(number for number, operation in enumerate(clean.store.operations) if operation.kind == "delete")
    bench = bench.again(fault=Fault(at, Killed()))
    with pytest.raises(Killed):
        bench.apply(bench.plan(only_2))
    put_json(bench.store, manifest_key("a", "by-hand"), V1.body)
    put_json(bench.store, "v2/a/manifests/-not-a-tag", V1.body)
    expire_lock(bench.store)
    bench = bench.again()
    bench.apply(bench.plan(only_2))
    assert [key for kind, key in bench.store.writes if kind == "delete"] == [manifest_key("a", "1"), LOCK]


def before_a_mixed_plan() -> Bench:
    """A bucket and sources so that an apply adds, updates, prunes, collects, empties a repository and begins one.

    Of the digests that it finds retired, one is to be kept for longer and the time of the other is over.
    """
    return _before_a_mixed_plan().again()


@cache
def _before_a_mixed_plan() -> Bench:
    """Built once and copied, because it takes three applies, and a test begins here a hundred times."""
    bench = Bench.of(a={"1": V1, "latest": V1, "old": V3, "same": V1, "older": V4}, gone={"1": V1})
    bench.when_gone = "prune"
    bench.now = NOW - RETAIN
    bench.apply()
    for now, tag in ((NOW - RETAIN, "older"), (NOW - RETAIN / 2, "old")):
        bench = bench.again()
        bench.now = now
        del bench.sources["a"].images[tag]
        bench.apply()
    bench = Bench(
        {"a": MemorySource({"1": V1, "2": V2, "latest": V2, "same": V1}), "new": MemorySource({"1": V1, "x": V3})},
        bench.again().store,
        when_gone="prune",
    )
    bench.now = NOW
    return bench


def mixed_run() -> Bench:
    bench = before_a_mixed_plan()
    kinds = Counter(str(outcome.change.action) for outcome in bench.apply())
    assert kinds == {"add": 3, "update": 1, "prune": 1}
    assert [event.objects for event in bench.others if isinstance(event, Garbage)] == [len(V4_ALONE)]
    return bench


STOP_POINTS = len(mixed_run().store.operations)
FAULTS = {
    "killed": lambda at: Fault(at, Killed()),
    "store gone": lambda at: Fault(at, StoreUnreachable("memory:bucket", "no answer")),
    "one error": lambda at: Fault(at, StoreUnreachable("memory:bucket", "no answer"), lasting=False),
    "one answer lost": lambda at: Fault(at, StoreUnreachable("memory:bucket", "x"), lasting=False, answer_lost=True),
}


@pytest.mark.parametrize("threads", [1, 6])
@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.slow
def test_stopped_at_any_operation_tags_are_whole_and_the_next_apply_gets_there(kind: str, threads: int) -> None:
    clean = final(mixed_run().store)
    before = before_a_mixed_plan()
    stopped = 0
    for at in range(STOP_POINTS):
        bench = before.again(fault=FAULTS[kind](at), threads=threads)
        try:
            outcomes = bench.apply()
        except (Killed, MirrorError):
            stopped += 1
        else:
            stopped += any(not isinstance(outcome, Done) for outcome in outcomes)
        check_visible(bench.store)
        expire_lock(bench.store)
        bench = bench.again()
        bench.apply()
        assert final(bench.store) == clean, f"{kind} at operation {at}: {bench.store.operations}"
    assert stopped >= STOP_POINTS // 2


@pytest.mark.parametrize("threads", [1, 6])
@pytest.mark.parametrize("sleeps", [True, False], ids=["its machine sleeps", "its clock stands still"])
@pytest.mark.slow
def test_a_run_that_lost_its_lock_at_any_operation_writes_nothing_more(
    threads: int, sleeps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each operation in turn another run takes the lock over, undoes what is not wanted, and collects it.

    Where even the sleeper's own clock stood still, only the commit is known to fail; the next run heals the rest.
    """
    clock = Clock()
    monkeypatch.setattr("reconciler.target.lock.time", clock)
    clean = mixed_run().again()
    clean.now = NOW + 2 * RETAIN
    clean.apply()
    wanted = final(clean.store)
    lost, asleep = 0, 2 * RETAIN.total_seconds()
    for at in range(2, STOP_POINTS):
        bench = before_a_mixed_plan()
        bench.threads = threads
        other = Bench({"a": MemorySource({"same": V1}), "new": MemorySource({"x": V3})}, when_gone="prune")
        theirs: dict[str, bytes] = {}

        def take_over(
            number: int,
            _: Operation,
            at: int = at,
            bench: Bench = bench,
            other: Bench = other,
            theirs: dict[str, bytes] = theirs,
        ) -> None:
            if number == at:
                bench.store.seconds += asleep
                clock.now += asleep if sleeps else 0
                other.store = bench.store.shared()
                other.apply()
                theirs.update(bench.store.objects)

        bench.store.meanwhile = take_over
        with suppress(LockLost, PlanRefused, PreconditionFailed):
            bench.apply()
            lost -= 1
        lost += 1
        if sleeps and threads == 1:
            assert bench.store.objects == theirs, f"{at}: {bench.store.operations[at:]}"
            check_visible(bench.store)
        assert parse(bench.store.objects[MIRROR_INDEX], "").repositories == parse(theirs[MIRROR_INDEX], "").repositories
        bench = bench.again()
        bench.now = NOW + 4 * RETAIN
        bench.apply()
        check_visible(bench.store)
        assert final(bench.store) == wanted
    assert lost >= STOP_POINTS * 3 // 4
