"""What a run makes of the values of the metrics."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.apply.finished import Finished
from reconciler.apply.outcome import Done, Failed, Skipped
from reconciler.errors import REASONS, StoreUnreachable
from reconciler.metrics.samples import NO_SAMPLES, Samples, Traffic, after_run, with_answers, with_demand, with_traffic
from reconciler.metrics.table import BY_NAME, METRICS, Kind
from reconciler.oci.spec import OCI_MANIFEST, Descriptor, Digest
from reconciler.plan.diff import Action, Change
from reconciler.plan.plan import Extent, Plan, RepositoryPlan
from reconciler.pulls.demand import Demand
from reconciler.sources.quota import Quota, Spending
from reconciler.target.index import TagState
from tests import strategies as draw

AT = datetime(2026, 11, 26, tzinfo=UTC)
ONE = Descriptor(OCI_MANIFEST, Digest.of(b"1"), 1)
ADD = Change(Action.ADD, "1", None, ONE)
PLAN = Plan("0" * 64, 7, None, (RepositoryPlan("app", "docker.io/app", None, 4, (ADD,), None),), extent=Extent(4, 1))
RUN = Finished("prod", "", AT, 3.5, 100, 0.5, PLAN, (Done("app", ADD),), 8)

runs = st.builds(
    Finished,
    st.sampled_from(["a", "b"]),
    st.sampled_from(["", "eu"]),
    st.just(AT),
    st.floats(0, 1e6),
    st.integers(0, 10**15),
    st.floats(0, 1e6),
    st.none() | draw.plans,
    st.lists(
        st.builds(Done, draw.targets, draw.changes)
        | st.builds(Failed, draw.targets, draw.changes, st.text(), st.sampled_from(REASONS))
        | st.builds(Skipped, draw.targets, draw.changes, st.text(), st.sampled_from(REASONS)),
        max_size=3,
    ).map(tuple),
    st.none() | st.integers(0, 10**9),
    st.none() | st.just(StoreUnreachable("bucket", "is away")),
    st.booleans(),
    st.booleans(),
)


def value(samples: Samples, name: str, *labels: str) -> float:
    return samples[name, labels]


def test_a_run_that_succeeds() -> None:
    samples = after_run(NO_SAMPLES, RUN)
    assert value(samples, "r2mirror_runs_total", "prod", "", "success") == 1
    assert value(samples, "r2mirror_runs_total", "prod", "", "error") == 0
    assert value(samples, "r2mirror_changes_total", "prod", "", "add") == 1
    assert value(samples, "r2mirror_last_success_timestamp_seconds", "prod", "") == AT.timestamp()
    assert value(samples, "r2mirror_last_run_duration_seconds", "prod", "") == 3.5
    assert value(samples, "r2mirror_copied_bytes_total", "prod", "") == 100
    assert value(samples, "r2mirror_lock_wait_seconds_total", "prod", "") == 0.5
    assert value(samples, "r2mirror_index_serial", "prod", "") == 8
    assert value(samples, "r2mirror_tags_wanted", "prod", "") == 5
    assert value(samples, "r2mirror_tags_mirrored", "prod", "") == 5


def test_a_run_that_fails_leaves_the_time_of_the_last_success() -> None:
    later = AT + timedelta(hours=1)
    failed = replace(RUN, at=later, events=(Failed("app", ADD, "it is away", "unreachable"),))
    samples = after_run(after_run(NO_SAMPLES, RUN), failed)
    assert value(samples, "r2mirror_last_success_timestamp_seconds", "prod", "") == AT.timestamp()
    assert value(samples, "r2mirror_last_run_timestamp_seconds", "prod", "") == later.timestamp()
    assert value(samples, "r2mirror_failures_total", "prod", "", "unreachable") == 1
    assert value(samples, "r2mirror_runs_total", "prod", "", "incomplete") == 1
    assert value(samples, "r2mirror_tags_mirrored", "prod", "") == 4


def test_a_run_about_some_repositories_says_nothing_about_the_others() -> None:
    samples = after_run(NO_SAMPLES, replace(RUN, is_whole=False))
    assert ("r2mirror_tags_wanted", ("prod", "")) not in samples
    assert ("r2mirror_last_success_timestamp_seconds", ("prod", "")) not in samples


def test_prunes_that_are_held_back_and_quotas_are_shown() -> None:
    before = TagState(ONE.digest, ONE.media_type, 1, None, AT)
    prunes = tuple(Change(Action.PRUNE, str(number), before, None) for number in range(20))
    pruned = replace(PLAN, repositories=(RepositoryPlan("app", "docker.io/app", None, 0, prunes, None),))
    assert value(after_run(NO_SAMPLES, replace(RUN, plan=pruned)), "r2mirror_prunes_held_back", "prod", "") == 1
    quota = Spending(Quota("docker.io", 200, 76, 21600), 3, exact=True)
    samples = after_run(NO_SAMPLES, replace(RUN, plan=replace(PLAN, spendings=(quota,))))
    assert value(samples, "r2mirror_quota_remaining_pulls", "docker.io") == 76
    assert value(samples, "r2mirror_quota_limit_pulls", "docker.io") == 200
    assert value(samples, "r2mirror_prunes_held_back", "prod", "") == 0


@settings(max_examples=20)
@given(st.lists(runs, max_size=3))
def test_counters_never_fall_and_labels_are_those_of_the_table(several: list[Finished]) -> None:
    samples = NO_SAMPLES
    for run in several:
        after = with_answers(after_run(samples, run), {("ghcr.io", "2xx"): 1})
        for (name, labels), number in samples.items():
            assert BY_NAME[name].kind is Kind.GAUGE or after[name, labels] >= number
        samples = after
    assert all(len(labels) == len(BY_NAME[name].labels) for name, labels in samples)


def test_names_follow_the_conventions_of_prometheus() -> None:
    for metric in METRICS:
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert metric.help.endswith((".", "1"))


def test_what_clients_asked_for_takes_the_place_of_what_they_asked_for_before() -> None:
    before = with_demand(NO_SAMPLES, "prod", "eu", Demand({"a": 5, "_others": 1}, 3))
    before = with_demand(before, "prod", "us", Demand({"a": 9}, 0))
    after = with_demand(before, "prod", "eu", Demand({"b": 2, "_others": 0}, 1))
    assert after == {
        ("r2mirror_pulls", ("prod", "eu", "b")): 2,
        ("r2mirror_pulls", ("prod", "eu", "_others")): 0,
        ("r2mirror_tags_missed", ("prod", "eu")): 1,
        ("r2mirror_pulls", ("prod", "us", "a")): 9,
        ("r2mirror_tags_missed", ("prod", "us")): 0,
    }


def test_what_is_no_longer_counted_is_no_longer_shown() -> None:
    before = with_demand(NO_SAMPLES, "prod", "eu", Demand({"a": 5, "_others": 1}, 3))
    assert with_demand(before, "prod", "eu", Demand({}, 0)) == {}


def test_pulls_of_a_registry_are_there_where_they_are_counted() -> None:
    plain = with_traffic(NO_SAMPLES, Traffic({("blobs", "2xx"): 4}, 70))
    assert plain == {("r2mirror_served_requests_total", ("blobs", "2xx")): 4, ("r2mirror_served_bytes_total", ()): 70}
    counted = with_traffic(NO_SAMPLES, Traffic({}, 0, {"pulled": 3, "missed": 0}, {"pulled": 2, "missed": 0}))
    assert counted["r2mirror_served_tags_total", ("pulled",)] == 3
    assert counted["r2mirror_counted_names", ("pulled",)] == 2
    for name, labels in {**plain, **counted}:
        assert len(labels) == len(BY_NAME[name].labels)
