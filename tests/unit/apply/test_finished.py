"""The account of a run: what went wrong, and how it ended."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reconciler.apply.finished import Account, Failure
from reconciler.apply.outcome import Done, Failed, ImmutableTagMoved, Replanned, Skipped
from reconciler.errors import REASONS, LockHeld, MirrorError
from reconciler.oci.spec import OCI_MANIFEST, Descriptor, Digest
from reconciler.plan.diff import Action, Change
from reconciler.plan.plan import Plan, RepositoryPlan

AT = datetime(2026, 11, 26, tzinfo=UTC)
ONE = Descriptor(OCI_MANIFEST, Digest.of(b"1"), 1)
ADD = Change(Action.ADD, "1", None, ONE)


def plan(error: str | None = None, reasons: tuple[str, ...] = ()) -> Plan:
    return Plan("0" * 64, 7, None, (RepositoryPlan("app", "docker.io/app", None, 4, (ADD,), error, reasons=reasons),))


def account(made: Plan, targets: tuple[str, ...] = ("app",)) -> Account:
    opened = Account("prod", "", targets, clock=iter(range(100)).__next__)
    opened.planned(made)
    return opened


def test_a_run_ends_well_if_nothing_failed() -> None:
    one = account(plan())
    with one.following():
        one.add(Done("app", ADD))
        one.recorded(9)
    run = one.finished(AT)
    assert (run.result, run.serial, run.seconds, run.is_whole) == ("success", 9, 1, True)


def test_everything_that_went_wrong_is_a_failure() -> None:
    one = account(plan("no answer", ("unreachable", "denied")))
    one.add(Failed("app", ADD, "it is away", "unreachable"))
    one.add(Skipped("app", ADD, "no pulls", "quota"))
    run = one.finished(AT)
    assert run.result == "incomplete"
    assert run.failures == (
        Failure("app", None, "unreachable", "no answer"),
        Failure("app", None, "denied", "no answer"),
        Failure("app", "1", "unreachable", "it is away"),
        Failure("app", "1", "quota", "no pulls"),
    )


def test_an_immutable_tag_that_moved_is_one_failure_also_after_a_new_plan() -> None:
    one = account(plan("app:1 moved", ("moved",)))
    moved = ImmutableTagMoved("app", "1", ONE.digest, Digest.of(b"2"))
    one.add(moved)
    one.add(Replanned(plan("app:1 moved", ("moved",))))
    one.add(moved)
    assert [(failure.tag, failure.why) for failure in one.finished(AT).failures] == [("1", "moved")]


def test_an_error_ends_it_early() -> None:
    one = Account("prod", "", ["app"])
    assert not one.began
    with pytest.raises(LockHeld), one.following():
        raise LockHeld("bucket", "another", "then", 9)
    run = one.finished(AT)
    assert (run.result, run.plan, [failure.why for failure in run.failures]) == ("error", None, ["lock"])


def test_an_interruption_is_not_a_failure() -> None:
    one = account(plan())
    with pytest.raises(KeyboardInterrupt), one.following():
        raise KeyboardInterrupt
    assert (one.finished(AT).result, one.finished(AT).failures) == ("interrupted", ())


def test_a_run_about_some_repositories_is_not_whole() -> None:
    assert not account(plan(), ("app", "other")).finished(AT).is_whole


def test_each_error_has_a_reason_that_is_listed() -> None:
    kinds = [MirrorError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    assert {kind.reason for kind in kinds} | {"held_back"} == set(REASONS)
