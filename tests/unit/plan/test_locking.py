"""What a lock has is what a plan wants; `min_age` and the signatures hold when it is written, and when it is applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import SignatureRefused
from reconciler.lockfile.model import NOTHING_LOCKED, Lockfile
from reconciler.lockfile.parse import parse_lockfile
from reconciler.lockfile.pinned import at_lockfile
from reconciler.lockfile.text import lockfile_text
from reconciler.mirrors.patterns import Exact, Glob, Locked, Pinned
from reconciler.oci.spec import Digest
from reconciler.plan.connections import Connections
from reconciler.plan.locking import Locking, lock_tags
from reconciler.signatures.gate import Gate
from reconciler.signatures.signers import TrustedKey
from reconciler.target.in_store import InStore
from reconciler.upkeep.caller import Caller
from reconciler.upkeep.goals import OneTag
from reconciler.upkeep.restore import release_tags, restore_bucket
from tests.bench import V1, V2, V3, Bench
from tests.days import AGE
from tests.memory import mirror, mirrors
from tests.parts.signatures import ec_key, public_pem

if TYPE_CHECKING:
    import pytest

    from reconciler.mirrors.model import Mirror
    from reconciler.plan.plan import Plan
    from tests.parts.images import Image


def lock(bench: Bench, *entries: Mirror, before: Lockfile = NOTHING_LOCKED) -> Locking:
    target = InStore(bench.store, bench.store)
    connections = Connections(lambda: target, bench.open_source)
    found = lock_tags([(mirrors(*entries), connections)], before, {one.target for one in entries})
    # What is kept between two runs is the file.
    return replace(found, lockfile=parse_lockfile(lockfile_text(found.lockfile).encode(), "it")[0])


def planned(bench: Bench, lockfile: Lockfile, *entries: Mirror) -> Plan:
    return bench.plan(*at_lockfile(mirrors(*entries), lockfile, "it").mirrors)


def digests(lockfile: Lockfile, target: str = "a") -> Mapping[str, str]:
    return {tag: str(one.digest) for tag, one in lockfile.repositories[target].tags.items()}


def wanted(plan: Plan) -> list[tuple[str, str]]:
    return [
        (str(change.action), change.tag) for one in plan.repositories if one.target == "a" for change in one.changes
    ]


IMAGES = st.dictionaries(st.sampled_from(["1", "2", "3", "latest"]), st.sampled_from([V1, V2, V3]), min_size=1)


@settings(max_examples=25)
@given(IMAGES, IMAGES, IMAGES)
def test_a_locked_apply_makes_exactly_what_an_apply_at_that_time_would_have_made(
    first: Mapping[str, Image], then: Mapping[str, Image], later: Mapping[str, Image]
) -> None:
    bench = Bench.of(a=first)
    bench.apply()
    bench = bench.again()
    bench.sources["a"].images = dict(then)
    entry = mirror("a")
    plan = bench.plan(entry)
    lockfile = lock(bench, entry).lockfile
    bench.sources["a"].images = {**later, **{f"held-{one.digest}": one for one in then.values()}}
    bench.sources["a"].operations.clear()
    found = planned(bench, lockfile, entry)
    assert not bench.sources["a"].asked("tags"), "a locked plan lists no tags"
    assert [replace(one, tallies=()) for one in found.repositories] != []
    assert [one.changes for one in found.repositories] == [one.changes for one in plan.repositories]


def test_a_new_digest_waits_in_the_lockfile_and_is_locked_when_it_is_old_enough() -> None:
    bench = Bench.of(a={"1": V1}, b={"1": V1})
    # With a mirror index, the time is that of the store's clock.
    bench.apply(bench.plan(mirror("b")))
    bench = bench.again()
    entry = mirror("a", min_age=AGE)
    found = lock(bench, entry)
    assert (digests(found.lockfile), found.waiting) == ({}, 1)
    assert wanted(planned(bench, found.lockfile, entry)) == []
    bench.store.seconds += AGE.age.total_seconds() - 1
    found = lock(bench, entry, before=found.lockfile)
    assert digests(found.lockfile) == {}
    bench.store.seconds += 1
    found = lock(bench, entry, before=found.lockfile)
    assert (digests(found.lockfile), found.waiting) == ({"1": V1.digest}, 0)
    plan = planned(bench, found.lockfile, entry)
    assert wanted(plan) == [("add", "1")]
    bench.apply(plan)
    bench = bench.again()
    assert lock(bench, entry, before=found.lockfile).lockfile.repositories["a"].tags["1"].since is None


def test_a_digest_that_is_written_into_a_lockfile_by_hand_waits_at_the_apply() -> None:
    bench = Bench.of(a={"1": V1})
    entry = mirror("a", min_age=AGE)
    lockfile = lock(bench, mirror("a")).lockfile
    plan = planned(bench, lockfile, entry)
    assert wanted(plan) == []
    assert [one.tag for one in plan.repositories[0].ages.waiting] == ["1"]


def test_a_locked_apply_forgets_no_digest_that_waits() -> None:
    bench = Bench.of(a={"1": V1})
    entry = mirror("a", min_age=AGE)
    bench.apply(bench.plan(entry))
    bench = bench.again()
    lockfile = lock(bench, mirror("a", min_age=None)).lockfile
    assert planned(bench, lockfile, entry).repositories[0].ages.sightings is None


def test_an_image_that_is_not_signed_is_not_locked_and_the_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    signer = TrustedKey("ours", public_pem(ec_key()))
    gate = Gate({"a": (signer,)}, ())
    bench = Bench.of(a={"1": V1, "2": V2})
    with monkeypatch.context() as patched:
        patched.setattr("reconciler.plan.locking.gate_for", lambda _: gate)
        found = lock(bench, mirror("a"))
    assert digests(found.lockfile) == {}
    assert "refused, since they are not signed as signed_by requires: 1, 2" in found.errors[0]
    lockfile = lock(bench, mirror("a")).lockfile
    bench.gate = gate
    plan = planned(bench, lockfile, mirror("a"))
    assert wanted(plan) == [], "the signatures are checked again at the apply"
    assert SignatureRefused.reason in plan.repositories[0].reasons


def test_an_immutable_tag_does_not_move_to_what_is_locked() -> None:
    bench = Bench.of(a={"1": V1})
    entry = mirror("a", immutable=(Glob("*"),))
    bench.apply(bench.plan(entry))
    bench = bench.again()
    bench.sources["a"].images = {"1": V2}
    assert digests(lock(bench, entry).lockfile) == {"1": V1.digest}
    forced = lock(bench, mirror("a")).lockfile
    plan = planned(bench, forced, mirror("a"))
    assert wanted(plan) == [("update", "1")]
    frozen = replace(at_lockfile(mirrors(mirror("a")), forced, "it").mirrors[0], immutable=(Glob("*"),))
    plan = bench.plan(frozen)
    assert wanted(plan) == []
    assert "is immutable, and has moved" in str(plan.repositories[0].error)


def test_a_held_tag_that_is_released_goes_on_to_be_locked() -> None:
    bench = Bench.of(a={"1": V1, "2": V1})
    bench.apply()
    bench = bench.again()
    bench.sources["a"].images = {"1": V2, "2": V1}
    bench.apply()
    file, target = mirrors(mirror("a")), InStore(bench.store, bench.store)
    restore_bucket(file, target, Caller("restore"), OneTag("a", "1"))
    found = lock(bench, mirror("a")).lockfile
    assert digests(found) == {"1": V1.digest, "2": V1.digest}
    release_tags(file, target, Caller("release"), [("a", "1")])
    assert wanted(planned(bench, found, mirror("a"))) == []


def test_a_pin_of_mirrors_yaml_stays_a_pin() -> None:
    pin = Pinned("1", Digest.parse(V1.digest))
    bench = Bench.of(a={"1": V1, "2": V2})
    entry = mirror("a", pin, Exact("2"), min_age=AGE)
    bench.store.seconds += timedelta(days=9).total_seconds()
    lockfile = lock(bench, mirror("a", pin, Exact("2"))).lockfile
    (at,) = at_lockfile(mirrors(entry), lockfile, "it").mirrors
    assert at.tags == (pin, Locked("2", Digest.parse(V2.digest), None, by_name=True))
