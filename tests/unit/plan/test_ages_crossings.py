"""`min_age` together with everything else that decides about a tag."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from reconciler.apply.outcome import Skipped
from reconciler.errors import NotFound, PlanRefused, Unreachable
from reconciler.mirrors.min_age import MinAge
from reconciler.mirrors.patterns import Exact, Glob, Pinned, Semver
from reconciler.oci.spec import Digest, Platform
from reconciler.plan.ages import MOVED, Consent
from reconciler.plan.diff import Action
from reconciler.plan.saved import checked
from reconciler.signatures.gate import Gate
from reconciler.signatures.signers import TrustedKey
from reconciler.target.in_store import InStore
from reconciler.target.index_json import parse
from reconciler.target.layout import MIRROR_INDEX
from reconciler.upkeep.caller import Caller
from reconciler.upkeep.goals import OneTag
from reconciler.upkeep.restore import release_tags, restore_bucket
from tests.bench import RETAIN, V1, V2, V3, app, expire_lock
from tests.days import AGE, SETTLED, Days, newest
from tests.memory import Fault, Killed, mirror, mirrors
from tests.parts.images import artifact
from tests.parts.signatures import ec_key, payload_for, public_pem, sig_image, sig_tag, simple

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror
    from reconciler.plan.plan import Plan
    from tests.parts.images import Image

AMD64, ARM64 = (Platform.parse(f"linux/{name}") for name in ("amd64", "arm64"))
NOTE = artifact(subject=V1)
KEY = ec_key()
SIGNER = TrustedKey("cosign.pub", public_pem(KEY))


def signature(of: Image) -> dict[str, Image]:
    return {sig_tag(of.digest): sig_image(simple(KEY, payload_for(of.digest)))}


def waiting_update(**options: object) -> Days:
    """Serves V1 under `1`, while V2 waits there."""
    days = Days(v1=V1)
    days.mirror = replace(days.mirror, **options)  # type: ignore[arg-type]  # fields of a mirror
    days.apply(SETTLED)
    days.push(v1=V2)
    days.bench.sources["a"].named["withdrawn"] = V1
    assert days.apply() == []
    return days


def test_another_platform_comes_to_what_is_served_while_an_update_waits() -> None:
    days = waiting_update()
    for platforms, reason in [
        ((AMD64,), "platforms: all -> linux/amd64"),
        ((AMD64, ARM64), "platforms: + linux/arm64"),
    ]:
        days.mirror = replace(days.mirror, platforms=platforms)
        (change,) = days.plan().repositories[0].changes
        assert (change.reason, str(change.after and change.after.digest)) == (reason, V1.digest)
        assert days.plan().counts["waiting"] == 1, "the update waits on"
        assert days.apply() == ["u1"]
        assert (days.state.tags["1"].platforms, days.served) == (platforms, {"1": V1.digest})
    days.pass_days(3)
    days.bench.apply(days.plan())
    assert days.served == {"1": V2.digest}


def test_the_platforms_of_a_tag_that_may_not_move_for_ever_change_too() -> None:
    days = waiting_update()
    days.push(v1=V1)
    days.apply()
    days.push(v1=V2)
    days.pass_days(100)
    assert days.apply() == []
    assert days.plan().repositories[0].ages.waiting[0].until is None
    days.mirror = replace(days.mirror, platforms=(ARM64,))
    assert days.apply() == ["u1"]
    assert (days.served, days.state.tags["1"].platforms) == ({"1": V1.digest}, (ARM64,))


def test_what_is_newly_attached_to_what_is_served_comes_while_an_update_waits() -> None:
    days = waiting_update(referrers=True)
    source = days.bench.sources["a"]
    source.operations.clear()
    assert days.apply() == []
    source.along.append(NOTE)
    (change,) = days.plan().repositories[0].changes
    assert (change.reason, str(change.after and change.after.digest)) == ("referrers: + 1", V1.digest)
    assert days.apply() == ["u1"]
    assert Digest.parse(V1.digest) in days.state.attachments
    assert days.apply() == []
    assert days.served == {"1": V1.digest}


def test_referrers_that_are_asked_for_while_an_update_waits_come_with_what_is_served() -> None:
    days = waiting_update()
    days.bench.sources["a"].along.append(NOTE)
    days.mirror = replace(days.mirror, referrers=True)
    assert days.apply() == ["u1"]
    assert (days.served, days.apply()) == ({"1": V1.digest}, [])


def test_an_image_has_to_be_signed_and_old_enough() -> None:
    days = Days(v1=V1, v2=V2)
    days.mirror = replace(days.mirror, signed_by=(SIGNER,))
    days.bench.gate = Gate({"a": (SIGNER,)})
    days.bench.sources["a"].named |= signature(V1)
    plan = days.plan()
    assert (plan.counts["waiting"], plan.counts["errors"]) == (2, 0), "what waits is not checked yet"
    days.apply()
    days.pass_days(3)
    plan = days.plan()
    assert [one.tag for one in plan.repositories[0].refused] == ["2"]
    assert [change.tag for change in plan.repositories[0].changes] == ["1"]
    days.bench.apply(plan)
    assert days.served == {"1": V1.digest}
    days.bench.sources["a"].named |= signature(V2)
    assert days.apply() == ["a2"], "the time that it waited for its signature counts"


def test_consent_is_to_the_time_and_not_to_a_missing_signature() -> None:
    days = Days(v1=V1)
    days.mirror = replace(days.mirror, signed_by=(SIGNER,))
    days.bench.gate = Gate({"a": (SIGNER,)})
    for consent in (SETTLED, Consent(now=frozenset({"a:1"}))):
        plan = days.plan(consent=consent)
        assert not plan.has_changes
        assert plan.repositories[0].refused


def test_a_platform_for_what_is_served_needs_its_signature() -> None:
    days = waiting_update()
    days.mirror = replace(days.mirror, signed_by=(SIGNER,), platforms=(AMD64,))
    days.bench.gate = Gate({"a": (SIGNER,)})
    plan = days.plan()
    assert not plan.has_changes
    assert [str(one.digest) for one in plan.repositories[0].refused] == [V1.digest]


def test_what_waits_neither_counts_as_a_prune_nor_holds_prunes_back() -> None:
    days = Days(Glob("*"))
    days.push(**{f"v{number}": app(str(number)) for number in range(20)})
    days.apply(SETTLED)
    days.push(v0=V1, v19=V2)
    days.mirror = replace(days.mirror, tags=(Exact("0"), Exact("1")))
    told = days.bench.apply(days.plan())
    assert {type(one) for one in told} == {Skipped}, "18 of 20 tags are too many without --allow-prune"
    days.mirror = replace(days.mirror, tags=tuple(Exact(str(number)) for number in range(15)))
    assert days.apply() == [f"p{number}" for number in range(15, 20)]
    assert set(days.state.seen) == {"0"}, "what is no longer chosen is forgotten"


def restored(days: Days, to: Image) -> None:
    store = days.bench.store
    request = OneTag("a", "1", to=Digest.parse(to.digest))
    restore_bucket(mirrors(days.mirror), InStore(store, store), Caller("r2mirror restore"), request)


def released(days: Days) -> None:
    store = days.bench.store
    release_tags(mirrors(days.mirror), InStore(store, store), Caller("r2mirror release"), [("a", "1")])


def test_a_restored_tag_is_held_however_old_the_new_digest_gets() -> None:
    days = waiting_update()
    days.pass_days(3)
    assert days.apply() == ["u1"]
    restored(days, V1)
    days.push(v1=V3)
    assert days.apply() == []
    days.pass_days(10)
    plan = days.plan()
    assert not plan.has_changes
    assert set(plan.repositories[0].held) == {"1"}
    assert "waiting" not in plan.counts, "a held tag waits for a person, not for its time"
    assert days.served == {"1": V1.digest}
    released(days)
    assert days.apply() == ["u1"], "it was seen all the time that the tag was held"
    assert days.served == {"1": V3.digest}


def test_a_released_tag_waits_for_what_is_new_then() -> None:
    days = waiting_update()
    days.pass_days(3)
    days.apply()
    restored(days, V1)
    released(days)
    days.push(v1=V3)
    assert days.apply() == []
    days.pass_days(3)
    assert days.apply() == ["u1"]


@pytest.mark.parametrize("when_gone", ["keep", "prune"])
def test_a_tag_that_goes_while_its_update_waits(when_gone: str) -> None:
    days = waiting_update(when_gone=when_gone)
    source = days.bench.sources["a"]
    source.images = {"2": V3}
    plan = days.plan()
    (vanished,) = plan.repositories[0].ages.vanished
    assert (vanished.tag, str(vanished.digest)) == ("1", V2.digest)
    prunes = [change.tag for change in plan.repositories[0].of(Action.PRUNE)]
    days.apply()
    if when_gone == "prune":
        assert prunes == ["1"]
        assert "1" not in days.served
    else:
        assert prunes == []
        assert set(days.state.gone) == {"1"}
        assert days.served == {"1": V1.digest}
    assert "1" not in days.state.seen


def test_a_source_that_fails_prunes_and_forgets_nothing() -> None:
    days = waiting_update(when_gone="prune")
    source = days.bench.sources["a"]
    for key in ("", "1"):
        source.failing = {key: Unreachable("memory/a", "no answer")}
        plan = days.plan()
        assert not plan.has_changes
        days.bench.apply(plan)
        assert set(days.state.seen) == {"1"}
    source.failing.clear()
    days.pass_days(3)
    assert days.apply() == ["u1"]


def test_a_run_of_other_repositories_neither_notes_nor_forgets() -> None:
    days = waiting_update()
    seen = days.state.seen
    days.bench.sources["b"] = days.bench.sources["a"]
    days.pass_days(1)
    # What `--only b` plans: the repository `a` is left out altogether.
    plan = days.bench.plan(days.mirror, mirror("b", min_age=AGE))
    days.bench.apply(replace(plan, repositories=tuple(one for one in plan.repositories if one.target == "b")))
    assert days.state.seen == seen
    index = parse(days.bench.store.objects[MIRROR_INDEX], "it")
    assert set(index.repositories["b"].seen) == {"1"}


def test_tags_of_one_repository_wait_each_for_themselves() -> None:
    days = Days(newest(2), v1=V1, v2=V2)
    days.apply(SETTLED)
    days.push(v3=V3)
    days.apply()
    days.pass_days(1)
    days.push(v4=app("4"))
    assert days.apply() == []
    days.pass_days(2)
    assert days.apply() == ["a3", "p1"]
    days.pass_days(1)
    assert days.apply() == ["a4", "p2"]


def test_killed_while_an_image_is_let_through_the_next_run_serves_what_is_old_enough() -> None:
    at = 0
    while True:
        days = waiting_update()
        bench = days.bench.again(fault=Fault(at, Killed()))
        try:
            bench.apply(bench.plan(days.mirror, consent=Consent(now=frozenset({"a:1"}))))
        except Killed:
            pass
        else:
            break
        days.bench = bench.again()
        expire_lock(days.bench.store)
        was = days.served["1"]
        days.bench.apply(days.plan())
        assert days.served == {"1": was}, f"killed at {at}"
        assert not days.state.pending
        at += 1
    assert at > 15


def test_an_immutable_tag_that_could_not_be_moved_is_not_said_to_be_withdrawn() -> None:
    days = Days(v1=V1)
    days.mirror = replace(days.mirror, immutable=(Exact("1"),))
    days.apply(SETTLED)
    days.push(v1=V2)
    days.bench.sources["a"].broken[V2.digest] = [Unreachable("a", "no answer")] * 20
    consent = Consent(moved=frozenset({"a:1"}))
    days.bench.apply(days.plan(consent=consent))
    plan = days.plan()
    assert (plan.repositories[0].warnings, plan.repositories[0].ages.vanished) == ((), ())
    days.bench.sources["a"].broken.clear()
    assert days.apply(consent) == ["u1"]
    assert days.served == {"1": V2.digest}


def edited(plan: Plan, by: str | None, of: Mirror | None = None) -> Plan:
    (repository,) = plan.repositories
    changes = tuple(replace(change, by=by) for change in repository.changes)
    source = of.source if of else repository.source
    return replace(plan, repositories=(replace(repository, changes=changes, source=source),))


def check(days: Days, of: Mirror, plan: Plan) -> None:
    index = parse(days.bench.store.objects[MIRROR_INDEX], "it")
    checked(plan, mirrors(of), index, "plan.json", days.bench.now)


WITNESSES = MinAge(AGE.age, ("index", "log", "push"))
AT_HUB = replace(mirror("a", min_age=WITNESSES), source="docker.io/library/a", signed_by=(SIGNER,))
ELSEWHERE = replace(AT_HUB, source="quay.io/library/a")


@pytest.mark.parametrize(
    ("one", "believed"),
    [
        (AT_HUB, {"push"}),
        (ELSEWHERE, {"log"}),
        (replace(ELSEWHERE, signed_by=()), set()),
        (replace(AT_HUB, min_age=AGE), set()),
        (replace(ELSEWHERE, min_age=AGE), set()),
    ],
)
def test_a_saved_plan_is_believed_only_what_a_request_alone_could_verify(one: Mirror, believed: set[str]) -> None:
    """And never of a digest that has left its tag before its time."""
    days = waiting_update()
    consent = Consent(now=frozenset({"a:1"}))
    for by in (None, "index", "log", "push", "--now", "--accept-present", MOVED, "anything"):
        if by in believed:
            check(days, one, edited(days.plan(consent=consent), by, one))
        else:
            with pytest.raises(PlanRefused, match=r"is not old enough for min_age|--accept-moved is not for this tag"):
                check(days, one, edited(days.plan(consent=consent), by, one))
    days.push(v1=V1)
    days.apply()
    days.push(v1=V2)
    for by in believed:
        with pytest.raises(PlanRefused, match="is not old enough"):
            check(days, one, edited(days.plan(consent=consent), by, one))


def test_a_saved_plan_moves_an_immutable_tag_only_with_consent() -> None:
    days = Days(v1=V1, v2_0_0=V2)
    days.mirror = replace(days.mirror, min_age=None, immutable=(Exact("1"), Semver(">=2")))
    days.apply()
    days.push(v1=V3, v2_0_0=V3)
    consent = Consent(moved=frozenset({"a:1", "a:2.0.0"}))
    plan = days.plan(consent=consent)
    assert {change.tag for change in plan.repositories[0].changes} == {"1", "2.0.0"}
    check(days, days.mirror, plan)
    with pytest.raises(PlanRefused, match="1: it is immutable, and moves without --accept-moved"):
        check(days, days.mirror, edited(plan, None))
    pinned = replace(days.mirror, tags=(Pinned("1", Digest.parse(V3.digest)),))
    pin = days.bench.plan(pinned)
    assert [change.by for change in pin.repositories[0].of(Action.UPDATE)] == [None]
    check(days, pinned, pin)


def test_a_digest_that_retain_has_removed_is_new_again() -> None:
    days = waiting_update()
    days.pass_days(3)
    days.apply()
    days.pass_days(2 * RETAIN.days)
    days.push(v1=V1)
    assert days.apply() == [], "V1 was served long ago, but it is under its tag only since now"
    days.pass_days(3)
    assert days.apply() == ["u1"]


def test_a_tag_that_is_named_and_missing_is_an_error_that_notes_nothing() -> None:
    days = Days(Exact("1"), Exact("2"), v1=V1)
    days.bench.sources["a"].failing = {"2": NotFound("memory/a:2", "no such tag")}
    plan = days.plan()
    assert plan.counts["errors"] == 1
    days.bench.apply(plan)
    assert set(days.state.seen) == {"1"}
