"""A restore brings back what the bucket still has, without a source, and no later apply undoes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli.render.restore import restoration_document, restoration_text
from reconciler.errors import LockHeld, MirrorError, PlanRefused, Unreachable, UsageError
from reconciler.mirrors.patterns import Exact
from reconciler.mirrors.schema_files import load_schema
from reconciler.oci.spec import Digest, Platform
from reconciler.signatures.gate import Gate
from reconciler.signatures.signers import TrustedKey, Unchecked, Verified
from reconciler.target.in_store import InStore
from reconciler.target.layout import CATALOG, LOCK, MIRROR_INDEX, PAGE, blob_key, manifest_key, tags_key
from reconciler.target.ledger import read_index
from reconciler.upkeep.caller import Caller
from reconciler.upkeep.gc import remove_garbage
from reconciler.upkeep.goals import OneRun, OneTag, Request
from reconciler.upkeep.restore import Restoration, plan_restore, release_tags, restore_bucket
from tests.bench import RETAIN, V1, V2, V3, Bench, app, check_visible, expire_lock, final
from tests.chain import other_writes
from tests.memory import Fault, Killed, MemorySource, MemoryStore, Operation, mirror, mirrors, put_lock
from tests.parts.signatures import (
    bundle_image,
    ec_key,
    key_bundle,
    payload_for,
    public_pem,
    sig_image,
    sig_tag,
    simple,
    statement_for,
)

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror
    from reconciler.plan.plan import Plan
    from reconciler.target.index import MirrorIndex
    from tests.parts.images import Image


def digest(image: Image) -> Digest:
    return Digest.parse(image.digest)


def restore(bench: Bench, request: Request, *entries: Mirror, expected: Restoration | None = None) -> Restoration:
    file = mirrors(*(entries or [mirror(target) for target in bench.sources]))
    return restore_bucket(file, InStore(bench.store, bench.store), Caller("r2mirror restore"), request, expected)


def release(bench: Bench, *names: tuple[str, str]) -> int:
    file = mirrors(*(mirror(target) for target in bench.sources))
    return len(release_tags(file, InStore(bench.store, bench.store), Caller("r2mirror release"), names))


def index_of(bench: Bench) -> MirrorIndex:
    return read_index(MemoryStore(bench.store.objects)).index


def served(bench: Bench, target: str = "a") -> dict[str, Digest]:
    state = index_of(bench).repositories[target]
    for tag, one in state.tags.items():
        assert one.digest.matches(bench.store.objects[manifest_key(target, tag)])
    return {tag: one.digest for tag, one in state.tags.items()}


def moved() -> Bench:
    """A mirror where the second apply moved `1`, added `3` and pruned `2`, and whose source is down now."""
    bench = Bench.of(a={"1": V1, "2": V2, "kept": V3}, b={"1": V1})
    bench.apply()
    bench = bench.again()
    bench.sources["a"].images = {"1": V3, "3": V3, "kept": V3}
    bench.when_gone = "prune"
    bench.apply()
    return bench.again()


def down(bench: Bench) -> Bench:
    """The same mirror with sources of which nothing can be had."""
    for source in bench.sources.values():
        source.failing = {key: Unreachable("memory", "no answer") for key in ("", *source.images)}
    return bench


def last_serial(bench: Bench) -> int:
    return index_of(bench).serial


def test_a_tag_goes_back_to_what_it_was_before_and_no_apply_undoes_that() -> None:
    bench = moved()
    before = index_of(bench).repositories["a"]
    restored = restore(bench, OneTag("a", "1"))
    [step] = restored.steps
    assert (step.before, step.after, restored.refused) == (digest(V3), digest(V1), ())
    assert served(bench)["1"] == digest(V1)
    assert not any(source.operations for source in bench.sources.values()), "no source is asked"
    check_visible(bench.store)
    state = index_of(bench).repositories["a"]
    assert (state.held["1"].digest, state.held["1"].reason) == (
        digest(V1),
        f"to what it was before serial {last_serial(bench) - 2}",
    )
    assert state.tags["1"].images, "what a client downloads is still known"
    assert state.tags["1"].platforms == before.tags["1"].platforms

    again = bench.again()
    again.when_gone = "prune"
    assert again.apply() == []
    assert again.store.writes == [], "an apply after a restore changes nothing"
    assert restore(again, OneTag("a", "1", to=digest(V1))).steps == (), "nor does the same restore"


def test_the_order_of_writes_is_that_of_an_apply() -> None:
    bench = moved()
    restore(bench, OneTag("a", "2", to=digest(V2)))
    assert other_writes(bench.store) == [
        ("put", LOCK),
        ("put", MIRROR_INDEX),
        ("put", manifest_key("a", "2")),
        ("put", MIRROR_INDEX),
        ("put", tags_key("a")),
        ("put", PAGE),
        ("delete", LOCK),
    ]
    assert json.loads(bench.store.objects[tags_key("a")])["tags"] == ["1", "2", "3", "kept"]


def test_a_wrong_prune_of_everything_is_undone_with_the_source_gone() -> None:
    bench = Bench.of(a={"1": V1, "2": V2}, b={"1": V3})
    bench.apply()
    before = final(bench.store)
    bench = bench.again()
    bench.apply(bench.plan(mirror("b")))
    assert "a" not in json.loads(bench.store.objects[CATALOG])["repositories"]
    bench = down(bench.again())
    [run] = [last_serial(bench)]
    assert len(restore(bench, OneRun(run), mirror("b")).steps) == 2
    assert final(bench.store) == before
    again = down(bench.again())
    again.apply(again.plan(mirror("b")))
    assert final(again.store) == before, "mirrors.yaml still lacks the mirror, and the tags are held"


def test_a_run_is_undone_with_all_that_it_did() -> None:
    bench = moved()
    run = last_serial(bench)
    restored = restore(bench, OneRun(run))
    assert {(one.tag, one.before, one.after) for one in restored.steps} == {
        ("1", digest(V3), digest(V1)),
        ("2", None, digest(V2)),
        ("3", digest(V3), None),
    }
    assert served(bench) == {"1": digest(V1), "2": digest(V2), "kept": digest(V3)}
    assert manifest_key("a", "3") not in bench.store.objects
    again = bench.again()
    again.when_gone = "prune"
    assert again.apply() == [], "what the run had added is not added again"


def test_what_has_changed_again_since_is_left_alone_and_said() -> None:
    bench = moved()
    run = last_serial(bench)
    bench.sources["a"].images["1"] = V2
    bench.apply()
    bench = bench.again()
    restored = restore(bench, OneRun(run))
    assert {one.tag for one in restored.steps} == {"2", "3"}
    [refusal] = restored.refused
    assert (refusal.tag, refusal.why) == ("1", f"it has changed again since, and is at {V2.digest} now")
    assert served(bench)["1"] == digest(V2)


def test_a_release_and_an_edit_of_the_entry_end_the_hold() -> None:
    bench = moved()
    restore(bench, OneTag("a", "1"))
    with pytest.raises(UsageError, match="a:kept is not held"):
        release(bench, ("a", "kept"))
    assert release(bench, ("a", "1")) == 1
    bench = bench.again()
    assert [one.change.tag for one in bench.apply()] == ["1"]
    assert served(bench)["1"] == digest(V3)

    restore(bench, OneTag("a", "1", to=digest(V1)))
    edited = replace(mirror("a", when_gone="prune"), entry="1" * 64)
    bench = bench.again()
    bench.apply(bench.plan(edited, mirror("b")))
    assert served(bench)["1"] == digest(V3)
    assert index_of(bench).repositories["a"].held == {}


def test_a_digest_that_is_not_kept_any_more_is_an_error_that_says_so() -> None:
    bench = moved()
    with pytest.raises(UsageError, match=r"a:1: sha256:.* the mirror does not keep it any more; .* 7 d after"):
        restore(bench, OneTag("a", "1", to=Digest.of(b"never")))
    bench = bench.again()
    bench.store.seconds += (RETAIN + timedelta(hours=1)).total_seconds()
    assert restore(bench.again(), OneTag("a", "1")).steps, "its time is over, and nothing has removed it"
    key = next(key for key in bench.store.objects if key == blob_key("a", Digest.parse(next(iter(V2.all_blobs())))))
    del bench.store.objects[key]
    with pytest.raises(
        UsageError, match=r"it is being collected, since it lost its last tag at .*Z and `retain` is over"
    ):
        restore(bench, OneTag("a", "2"))
    assert other_writes(bench.store) == [("put", LOCK), ("delete", LOCK)]


def test_a_digest_whose_platforms_nothing_recorded_comes_back_with_those_that_are_there() -> None:
    bench = Bench.of(a={"1": V1})
    amd64 = (Platform.parse("linux/amd64"),)
    bench.apply(bench.plan(mirror("a", platforms=amd64)))
    bench = bench.again()
    bench.sources["a"].images = {"1": V2}
    bench.apply(bench.plan(mirror("a", platforms=amd64)))
    for key in [key for key in bench.store.objects if key.startswith("_mirror/roots/")]:
        del bench.store.objects[key]
    restore(bench, OneTag("a", "1", to=digest(V1)))
    assert index_of(bench).repositories["a"].tags["1"].platforms == amd64
    assert served(bench)["1"] == digest(V1)


def test_the_history_that_it_needs_may_be_missing_and_is_named() -> None:
    bench = moved()
    with pytest.raises(UsageError, match=r"a:kept: the history that is kept has no change|a:kept was added by serial"):
        restore(bench, OneTag("a", "kept"))
    with pytest.raises(UsageError, match="c: the mirror index has no such repository"):
        restore(bench, OneTag("c", "1"))
    with pytest.raises(UsageError, match="serial 99: no run has written it yet"):
        restore(bench, OneRun(99))


def test_what_was_agreed_to_is_what_is_done() -> None:
    bench = moved()
    file, stores = mirrors(mirror("a"), mirror("b")), InStore(bench.store, bench.store)
    seen = plan_restore(file, stores, OneTag("a", "1"))
    assert bench.store.writes == []
    bench.sources["a"].images["1"] = V2
    bench.apply()
    with pytest.raises(PlanRefused, match="the mirror has changed"):
        restore(bench, OneTag("a", "1"), expected=seen)
    put_lock(bench.store, "r2mirror apply")
    with pytest.raises(LockHeld):
        restore(bench, OneTag("a", "1"))


KEY, OTHER = ec_key(), ec_key()
SIGNER = TrustedKey("cosign.pub", public_pem(KEY))


def signed_mirror(*, referrers: bool = True) -> Bench:
    """`1` went from V1, signed with `KEY`, to V2, signed with `OTHER`, and to V3, which is not signed."""
    bench = Bench.of(a={"1": V1})
    bench.sources["a"].named = {
        sig_tag(one.digest): sig_image(simple(key, payload_for(one.digest))) for one, key in ((V1, KEY), (V2, OTHER))
    }
    bench.sources["a"].along = [bundle_image(key_bundle(KEY, statement_for(V3.digest)), V3)]
    for image in (V1, V2, V3, app("now")):
        bench.sources["a"].images["1"] = image
        bench.apply(bench.plan(mirror("a", Exact("1"), referrers=referrers)))
    return bench.again()


def signed(*signers: TrustedKey) -> Mirror:
    return replace(mirror("a", Exact("1"), referrers=True), signed_by=signers)


@pytest.mark.parametrize("image", [V1, V3], ids=["by tag", "by referrer"])
def test_the_signatures_that_the_bucket_has_are_verified(image: Image) -> None:
    bench = signed_mirror()
    [step] = restore(bench, OneTag("a", "1", to=digest(image)), signed(SIGNER)).steps
    assert step.signature == Verified("key cosign.pub")
    assert served(bench)["1"] == digest(image)
    assert not any(source.operations for source in bench.sources.values())
    check_visible(bench.store)


def test_an_image_whose_signatures_are_not_accepted_is_not_restored() -> None:
    bench = signed_mirror()
    before = dict(bench.store.objects)
    with pytest.raises(UsageError, match=r"a:1: a@sha256:.*: not signed by key cosign\.pub: "):
        restore(bench, OneTag("a", "1", to=digest(V2)), signed(SIGNER))
    assert bench.store.objects == before
    [step] = restore(bench, OneTag("a", "1", to=digest(V2)), signed()).steps
    assert step.signature is None, "without signed_by it is not asked for"


def test_a_damaged_signature_is_named_and_restores_nothing() -> None:
    bench = signed_mirror()
    key = manifest_key("a", sig_tag(V1.digest))
    bench.store.objects[key] = b"damage"
    with pytest.raises(UsageError, match=key):
        restore(bench, OneTag("a", "1", to=digest(V1)), signed(SIGNER))


def test_an_image_that_was_mirrored_without_its_signatures_is_restored_and_that_is_said() -> None:
    bench = signed_mirror(referrers=False)
    [step] = restore(bench, OneTag("a", "1", to=digest(V1)), signed(SIGNER)).steps
    assert step.signature == Unchecked("the store has no signature of it")
    found = Restoration((step,))
    assert (
        restoration_text(found, dry_run=False)
        .splitlines()[0]
        .endswith(f"to {V1.digest}, signature not verified: the store has no signature of it")
    )
    document = restoration_document(found, dry_run=False)
    Draft202012Validator(load_schema("restore")).validate(document)
    assert document["restored"][0]["signature"]["status"] == "unchecked"


def undo(bench: Bench) -> None:
    restore(bench, OneRun(UNDONE))


def let_go(bench: Bench) -> None:
    release(bench, ("a", "1"), ("a", "2"), ("a", "3"))


UNDONE = last_serial(moved())


def restored() -> Bench:
    bench = moved()
    undo(bench)
    return bench.again()


CASES: dict[str, tuple[Callable[[], Bench], Callable[[Bench], None]]] = {
    "restore": (moved, undo),
    "release": (restored, let_go),
}
FAULTS: dict[str, Callable[[int], Fault]] = {
    "killed": lambda at: Fault(at, Killed()),
    "one answer lost": lambda at: Fault(at, Unreachable("memory", "x"), lasting=False, answer_lost=True),
}


def plan_of(bench: Bench) -> Plan:
    return bench.plan(mirror("a", when_gone="prune"), mirror("b"))


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("case", CASES)
def test_stopped_at_any_operation_tags_are_whole_and_the_next_apply_settles_them(case: str, fault: str) -> None:
    make, step = CASES[case]
    before, clean = make(), make()
    step(clean)
    ends = [final(clean.again().store)]
    unchanged = before.again()
    unchanged.apply(plan_of(unchanged))
    ends.append(final(unchanged.store))
    applied = clean.again()
    applied.apply(plan_of(applied))
    ends.append(final(applied.store))
    points = len(clean.store.operations) - len(make().store.operations)
    assert points > (20 if case == "restore" else 5)
    seen = set()
    for at in range(points):
        bench = before.again(fault=FAULTS[fault](at))
        with suppress(Killed, MirrorError):
            step(bench)
        check_visible(bench.store)
        expire_lock(bench.store)
        bench = bench.again()
        bench.apply(plan_of(bench))
        check_visible(bench.store)
        state = index_of(bench).repositories["a"]
        assert not state.pending, f"{fault} at {at}"
        assert final(bench.store) in ends, f"{fault} at {at}"
        seen.add(ends.index(final(bench.store)))
        if case == "restore":
            step(bench.again())
    assert len(seen) > 1


@pytest.mark.slow
def test_killed_with_the_source_gone_it_is_finished_from_the_bucket_alone() -> None:
    """A tag that moved and one that was pruned, with what is attached to them, of an image that has to be signed."""
    one = replace(mirror("a", referrers=True, when_gone="prune"), signed_by=(SIGNER,))
    bench = Bench.of(a={"1": V1, "2": V1, "kept": V1})
    bench.gate = Gate({"a": (SIGNER,)})
    for image in (V1, V2):
        bench.sources["a"].named |= {sig_tag(image.digest): sig_image(simple(KEY, payload_for(image.digest)))}
    bench.apply(bench.plan(one))
    bench = bench.again()
    bench.sources["a"].images = {"1": V2, "kept": V1}
    bench.apply(bench.plan(one))
    run, finished = last_serial(bench), 0
    for at in range(100):
        killed = bench.again(fault=Fault(at, Killed()))
        try:
            restore(killed, OneRun(run), one)
        except Killed:
            pass
        else:
            break
        check_visible(killed.store)
        expire_lock(killed.store)
        had_begun = bool(index_of(killed).repositories["a"].held)
        other = killed.again()
        other.sources["b"] = MemorySource({"1": V3})
        only = other.plan(one, mirror("b"))
        other.apply(replace(only, repositories=only.repositories[1:]))
        tags = json.loads(other.store.objects[tags_key("a")])["tags"]
        assert all(manifest_key("a", tag) in other.store.objects for tag in tags), "no list names what is not there"
        later = down(killed.again())
        later.apply(later.plan(one))
        check_visible(later.store)
        state = index_of(later).repositories["a"]
        assert not state.pending
        assert served(later) == (
            {"1": digest(V1), "2": digest(V1), "kept": digest(V1)}
            if had_begun
            else {"1": digest(V2), "kept": digest(V1)}
        )
        assert set(json.loads(later.store.objects[tags_key("a")])["tags"]) >= set(state.tags)
        assert not later.sources["a"].asked("manifest") + later.sources["a"].asked("blob")
        finished += had_begun
    assert finished > 5


@pytest.mark.parametrize("at", range(0, 30, 3))
def test_an_apply_that_races_with_a_restore_loses_no_tag(at: int) -> None:
    """At operation `at` of the restore an apply breaks its lock and runs to its end."""
    bench = moved()
    other = Bench(bench.sources, bench.store.shared(), when_gone="prune")
    bench.sources["a"].images["new"] = V2

    def meanwhile(number: int, _: Operation) -> None:
        if number == at:
            bench.store.objects.pop(LOCK, None)
            other.apply(plan_of(other))

    bench.store.meanwhile = meanwhile
    with suppress(MirrorError):
        undo(bench)
    bench.store.meanwhile = lambda number, operation: None
    check_visible(bench.store)
    expire_lock(bench.store)
    last = bench.again()
    last.apply(plan_of(last))
    assert served(last).keys() >= {"1", "kept", "new"}
    assert not index_of(last).repositories["a"].pending
    check_visible(last.store)


def test_garbage_collection_after_a_restore_keeps_what_is_held() -> None:
    bench = moved()
    undo(bench)
    bench.store.seconds += (2 * RETAIN).total_seconds()
    remove_garbage(mirrors(mirror("a"), mirror("b")), InStore(bench.store, bench.store), Caller("r2mirror gc"))
    assert served(bench) == {"1": digest(V1), "2": digest(V2), "kept": digest(V3)}
    check_visible(bench.store)


def test_what_is_still_retired_is_added_again_without_a_request_for_a_blob_or_a_manifest() -> None:
    bench = moved()
    bench.sources["a"] = MemorySource({"1": V3, "2": V2, "3": V3, "kept": V3})
    bench.apply(bench.plan(mirror("a", Exact("2"), Exact("1"), Exact("3"), Exact("kept")), mirror("b")))
    assert {one.kind for one in bench.sources["a"].operations} == {"resolve"}
    assert not [one for one in bench.store.operations if one.kind in ("upload", "copy")]
    assert served(bench)["2"] == digest(V2)
