"""What a notifier is told: once, until it is over, and never of what it did not ask for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.apply.finished import Finished
from reconciler.apply.outcome import Done, Event, Failed, ImmutableTagMoved, Skipped
from reconciler.errors import LockHeld, StoreUnreachable
from reconciler.mirrors.notifiers import DEFAULT_ON, OCCASIONS
from reconciler.notify.told import Told, edit_message_for, message_for
from reconciler.oci.spec import OCI_MANIFEST, Descriptor, Digest
from reconciler.plan.diff import Action, Change
from reconciler.plan.plan import Plan, RepositoryPlan

AT = datetime(2026, 11, 26, 3, tzinfo=UTC)
ONE = Descriptor(OCI_MANIFEST, Digest.of(b"1"), 1)
ADD = Change(Action.ADD, "1", None, ONE)
PRUNE = Change(Action.PRUNE, "0", None, None)
PLAN = Plan("0" * 64, 7, None, tuple(RepositoryPlan(one, one, None, 4, (ADD,), None) for one in ("a", "b")))
DEFAULT, ALL = frozenset(DEFAULT_ON), frozenset(OCCASIONS)


def run(*events: Event, hours: int = 0) -> Finished:
    return Finished("prod", "", AT + timedelta(hours=hours), 3.5, plan=PLAN, events=events)


def failed(target: str, tag: str = "1") -> Failed:
    return Failed(target, replace(ADD, tag=tag), "it is away", "unreachable")


def told_after(one: Finished, told: Told, on: frozenset[str] = DEFAULT) -> tuple[list[tuple[str, str | None]], Told]:
    message, after = message_for(one, told, on)
    return [(news.kind, news.target) for news in message.news] if message else [], after


def test_a_failure_is_told_once_while_it_lasts_and_when_it_is_over() -> None:
    first, told = told_after(run(failed("a"), failed("a", "2")), {})
    assert first == [("failure", "a")]
    assert message_for(run(failed("a", "3"), hours=1), told, DEFAULT) == (None, told)
    over, after = message_for(run(hours=2), told, DEFAULT)
    assert over is not None
    assert (over.news, over.recovered, over.lasting) == ((), {"failure a": AT}, 0)
    assert after == {}
    assert message_for(run(hours=3), after, DEFAULT) == (None, {})


def test_another_failure_is_told_beside_one_that_lasts() -> None:
    _, told = told_after(run(failed("a")), {})
    message, _ = message_for(run(failed("a"), failed("b"), hours=1), told, DEFAULT)
    assert message is not None
    assert ([one.target for one in message.news], message.lasting) == (["b"], 1)


def test_a_run_that_did_not_get_far_recovers_nothing() -> None:
    _, told = told_after(run(failed("a")), {})
    error = replace(run(hours=1), plan=None, error=StoreUnreachable("bucket", "is away"))
    news, after = told_after(error, told)
    assert news == [("failure", None)]
    assert after.keys() == {"failure", "failure a"}
    assert message_for(replace(run(hours=1), interrupted=True), told, DEFAULT) == (None, told)
    some = replace(run(hours=1), plan=replace(PLAN, repositories=PLAN.repositories[1:]), is_whole=False)
    assert message_for(some, told, DEFAULT) == (None, told)


def test_another_run_at_work_is_no_news() -> None:
    assert message_for(replace(run(), error=LockHeld("bucket", "cron", "then", 9)), {}, ALL) == (None, {})


def test_each_notifier_is_told_what_it_wants() -> None:
    moved = ImmutableTagMoved("a", "1", ONE.digest, Digest.of(b"2"))
    drift = Failed("a", ADD, "another writer", "drift")
    events = (Done("b", ADD), Done("b", PRUNE), Skipped("a", ADD, "no pulls left", "quota"), moved, drift)
    news, _ = told_after(run(*events), {}, ALL)
    assert {kind for kind, _ in news} == {"change", "prune", "quota", "moved", "drift"}
    for kind in ("change", "prune", "quota", "moved", "drift"):
        assert {one for one, _ in told_after(run(*events), {}, frozenset([kind]))[0]} == {kind}
    assert told_after(run(*events), {}, DEFAULT)[0] == []


events = st.lists(
    st.builds(Done, st.sampled_from("ab"), st.sampled_from([ADD, PRUNE]))
    | st.builds(Failed, st.sampled_from("ab"), st.just(ADD), st.text(), st.sampled_from(["drift", "store", "quota"])),
    max_size=4,
)


@settings(max_examples=50)
@given(st.lists(events, max_size=5), st.frozensets(st.sampled_from(OCCASIONS)))
def test_nothing_that_lasts_is_told_twice_in_a_row(several: list[list[Event]], on: frozenset[str]) -> None:
    told: Told = {}
    for hours, some in enumerate(several):
        one = run(*some, hours=hours)
        message, after = message_for(one, told, on)
        new = {news.lasts for news in message.news if news.lasts} if message else set()
        assert not new & told.keys()
        assert all(news.kind in on for news in (message.news if message else ()))
        again, unchanged = message_for(one, after, on)
        assert unchanged == after
        assert again is None or all(news.lasts is None for news in again.news)
        told = after


def test_a_bad_edit_is_told_once_until_the_file_can_be_used_again() -> None:
    message, told = edit_message_for("line 5: x", AT, {}, DEFAULT)
    assert message
    assert [(one.kind, one.why, one.words) for one in message.news] == [("failure", "configuration", "line 5: x")]
    assert edit_message_for("line 6: y", AT + timedelta(hours=1), told, DEFAULT) == (None, told)
    found, after = told_after(run(Done("a", ADD), hours=2), told)
    assert (found, after) == ([], told), "the content before the edit is still run"
    message, after = edit_message_for(None, AT + timedelta(hours=3), told, DEFAULT)
    assert message
    assert (message.recovered, message.lasting, after) == ({"edit": AT}, 0, {})
    assert edit_message_for(None, AT, {}, DEFAULT) == (None, {})


def test_an_edit_ends_nothing_else() -> None:
    _, told = told_after(run(failed("a")), {})
    message, after = edit_message_for("x", AT, told, DEFAULT)
    assert message
    assert message.lasting == 1
    assert edit_message_for(None, AT, after, DEFAULT)[1] == told
