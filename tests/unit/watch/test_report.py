"""What a run of a file came to: what is retried, what is reported, and its line in the log."""

from __future__ import annotations

from datetime import UTC, datetime

from reconciler.apply.finished import Finished
from reconciler.apply.outcome import Done, Event, Failed, ImmutableTagMoved, Skipped
from reconciler.errors import LockHeld, MirrorError, QuotaSpent, StoreUnreachable
from reconciler.oci.spec import OCI_MANIFEST, Descriptor, Digest
from reconciler.plan.diff import Action, Change
from reconciler.watch.report import Held, Report
from reconciler.watch.timetable import EVERYTHING

AT = datetime(2026, 11, 26, 3, tzinfo=UTC)
ONE = Descriptor(OCI_MANIFEST, Digest.of(b"1"), 1)
ADD = Change(Action.ADD, "1", None, ONE)
PRUNE = Change(Action.PRUNE, "0", None, None)


def finished(*events: Event, store: str = "", copied: int = 0, error: MirrorError | None = None) -> Finished:
    return Finished("default", store, AT, 2.0, copied=copied, events=events, error=error)


def failed(target: str, why: str = "unreachable") -> Failed:
    return Failed(target, ADD, "no answer", why)


def test_changes_and_bytes_are_summed_over_all_stores() -> None:
    report = Report((finished(Done("a", ADD), Done("b", PRUNE), copied=1024), finished(Done("a", ADD), copied=1024)), 2)
    assert report.words == "2 added, 1 pruned; 2.0 KiB in 2.0 s"
    assert (report.failures, report.retried, report.errors) == ((), frozenset(), ())
    assert Report((finished(),), 0.5, stopped=True).words == "nothing changed, stopped early in 0.5 s"


def test_what_fails_is_retried_by_repository_and_named_once() -> None:
    report = Report((finished(failed("a"), failed("b"), Done("c", ADD)),), 2)
    assert report.retried == {"a", "b"}
    assert report.errors == ("a:1 and 1 more: no answer",)
    assert report.words == "1 added, 2 repositories failed in 2.0 s"


def test_a_used_up_quota_is_retried_and_is_not_a_failure_and_others_are_mirrored() -> None:
    spent = Skipped("a", ADD, "200 pulls are needed", QuotaSpent.reason)
    report = Report((finished(spent, Done("b", ADD)),), 2)
    assert not report.failures
    assert report.retried == {"a"}
    assert report.words == "1 added, 1 repository waits for its quota in 2.0 s"


def test_what_no_retry_helps_is_reported_and_not_retried() -> None:
    moved = ImmutableTagMoved("a", "1", ONE.digest, Digest.of(b"2"))
    held_back = Skipped("b", PRUNE, "too many", "held_back")
    report = Report((finished(moved, held_back),), 2)
    assert report.retried == frozenset()
    assert [one.target for one in report.failures] == ["a", "b"]


def test_a_store_that_fails_retries_everything_and_leaves_the_other_store_alone() -> None:
    report = Report(
        (finished(store="eu", error=StoreUnreachable("bucket", "no answer")), finished(Done("a", ADD), store="us")), 2
    )
    assert report.retried == {EVERYTHING}
    assert report.errors == ("bucket: no answer",)
    assert report.held is None


def test_a_lock_that_another_run_holds_is_no_failure() -> None:
    held = LockHeld("m", "another", "noon", 120)
    report = Report((finished(store="eu"), finished(store="us", error=held)), 2)
    assert (report.held, report.failures) == (Held("us", held), ())
