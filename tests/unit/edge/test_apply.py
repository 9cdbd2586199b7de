"""An edge applied at Cloudflare: what is requested, what is left alone, and what goes wrong on the way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.edge.apply import POLL_EVERY, Applied, NotTried, Rejected, Wait, apply_plan, wait_for_domain
from reconciler.edge.config import EdgeConfig
from reconciler.edge.make import make
from reconciler.edge.rules import Phase, edge_rules, ref_prefix
from reconciler.errors import EdgeError
from tests.parts.cloudflare_api import ZONE
from tests.parts.scripted_server import Answer

if TYPE_CHECKING:
    from reconciler.edge.cloudflare import Cloudflare
    from reconciler.edge.plan import EdgePlan
    from tests.parts.cloudflare_api import CloudflareApi

HOST = "cr.example.com"
EDGE = EdgeConfig("example.com", HOST, location="weur")
BUCKET = "cr-example"


def planned(cloudflare: Cloudflare, edge: EdgeConfig = EDGE, *, remove: bool = False) -> EdgePlan:
    return make(edge, (BUCKET,), cloudflare, remove=remove)


def applied(
    cloudflare: Cloudflare, edge: EdgeConfig = EDGE, *, remove: bool = False, wait: Wait | None = None
) -> list[Any]:
    return list(apply_plan(planned(cloudflare, edge, remove=remove), cloudflare, wait or no_wait()))


def no_wait(timeout: float = 0) -> Wait:
    return Wait(timeout, lambda _: None, lambda _: None)


def ours(api: CloudflareApi, hostname: str = HOST) -> dict[str, dict[str, Any]]:
    """Our rules in the zone, by ref."""
    return {
        rule["ref"]: rule
        for phase in Phase
        for rule in api.rules(phase)
        if rule["ref"].startswith(ref_prefix(hostname))
    }


def test_from_nothing_to_everything_and_then_nothing_to_do(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    outcomes = applied(cloudflare)
    assert all(isinstance(outcome, Applied) for outcome in outcomes), outcomes
    assert list(api.buckets) == [BUCKET]
    assert api.buckets[BUCKET][HOST]["minTLS"] == "1.2"
    assert ours(api).keys() == {rule.ref for rule in edge_rules(EDGE)}
    for rule in edge_rules(EDGE):
        assert ours(api)[rule.ref].items() >= rule.body().items()
    assert [one for one in api.writes() if one.startswith("PUT")] == []
    before = len(api.writes())
    again = planned(cloudflare)
    assert (again.changes, again.unchanged, again.pending) == ((), len(edge_rules(EDGE)) + 2, None)
    assert applied(cloudflare) == []
    assert len(api.writes()) == before


def test_a_plan_reads_only(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    assert planned(cloudflare).counts["add"] == len(edge_rules(EDGE)) + 2
    assert api.writes() == []


def test_a_zone_by_its_id_and_a_bucket_in_a_jurisdiction(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    cloudflare._jurisdiction = {"cf-r2-jurisdiction": "eu"}
    applied(cloudflare, replace(EDGE, zone=ZONE))
    for asked in api.asked:
        assert ("cf-r2-jurisdiction" in asked.headers) == ("/r2/" in asked.path)


NAMES = st.text("abcdefghij_", min_size=1, max_size=12)
FOREIGN = st.fixed_dictionaries(
    {"expression": st.just("true"), "description": NAMES, "enabled": st.booleans()},
    optional={
        "ref": st.one_of(
            NAMES, st.just("r2mirror_ping"), NAMES.map(lambda name: f"{ref_prefix('x.example.com')}{name}")
        )
    },
)
STALE = st.fixed_dictionaries({"ref": NAMES.map(lambda name: f"{ref_prefix(HOST)}old_{name}")})
CURRENT = st.sampled_from(edge_rules(EDGE)).flatmap(
    lambda rule: st.sampled_from([rule.body(), {**rule.body(), "expression": "false", "enabled": False}])
)


@pytest.mark.slow
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries({phase: st.lists(st.one_of(FOREIGN, STALE, CURRENT), max_size=6) for phase in Phase}))
def test_whatever_others_have_stays_in_its_order_and_ours_are_exactly_the_list(
    api: CloudflareApi, cloudflare: Cloudflare, there: dict[Phase, list[dict[str, Any]]]
) -> None:
    api.rulesets.clear()
    for phase, rules in there.items():
        by_ref = {rule.get("ref", number): rule for number, rule in enumerate(rules)}
        for rule in by_ref.values():
            api.add_rule(phase, **rule)
    foreign = {phase: others(api, phase) for phase in Phase}
    assert all(isinstance(outcome, Applied) for outcome in applied(cloudflare))
    assert {phase: others(api, phase) for phase in Phase} == foreign
    wanted = {rule.ref: rule.body() for rule in edge_rules(EDGE)}
    assert {ref: {key: rule[key] for key in wanted[ref]} for ref, rule in ours(api).items()} == wanted
    assert planned(cloudflare).changes == ()
    assert all(isinstance(outcome, Applied) for outcome in applied(cloudflare, remove=True))
    assert ours(api) == {}
    assert {phase: others(api, phase) for phase in Phase} == foreign


def others(api: CloudflareApi, phase: Phase) -> list[dict[str, Any]]:
    return [rule for rule in api.rules(phase) if not rule["ref"].startswith(ref_prefix(HOST))]


def test_two_hostnames_of_a_zone_leave_each_other_alone(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    applied(cloudflare)
    first = ours(api)
    other = replace(EDGE, hostname="cr2.example.com", cache=False)
    applied(cloudflare, other)
    assert ours(api) == first
    assert ours(api, "cr2.example.com").keys() == {rule.ref for rule in edge_rules(other)}


def test_what_a_server_adds_or_spells_otherwise_is_not_a_difference(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    def decorate(rule: dict[str, Any]) -> dict[str, Any]:
        parameters = dict(rule["action_parameters"])
        if "headers" in parameters:
            parameters["headers"] = {name.lower(): value for name, value in parameters["headers"].items()}
        if "cache_key" in parameters:
            parameters["cache_key"] = {**parameters["cache_key"], "ignore_query_strings_order": False}
        spaced = rule["expression"].replace(" and ", "  and\n")
        return {**rule, "action_parameters": parameters, "expression": spaced, "logging": {"enabled": False}}

    api.decorate = decorate
    applied(cloudflare)
    assert planned(cloudflare).changes == ()


def test_an_edit_by_hand_is_seen_and_undone(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    applied(cloudflare)
    rule = api.rules(Phase.RESPONSE)[0]
    rule["action_parameters"] = {"headers": {**rule["action_parameters"]["headers"], "X-Odd": {"operation": "remove"}}}
    api.rules(Phase.REWRITE)[0]["enabled"] = False
    api.buckets[BUCKET][HOST]["minTLS"] = "1.0"
    changes = planned(cloudflare).changes
    assert [(change.action, change.kind) for change in changes] == [("update", "domain")] + [("update", "rule")] * 2
    assert [change.differences() for change in changes] == [
        ('minTLS: "1.0" -> "1.2"',),
        ("enabled: false -> true",),
        ('action_parameters.headers.x-odd: {"operation": "remove"} -> nothing',),
    ]
    applied(cloudflare)
    assert planned(cloudflare).changes == ()


def test_a_domain_is_waited_for_and_told_of(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    api.progress = (
        ("pending", "initializing"),
        ("pending", "initializing"),
        ("active", "pending"),
        ("active", "pending"),
        ("active", "active"),
    )
    told: list[str] = []
    slept: list[float] = []
    wait = Wait(600, told.append, slept.append)
    applied(cloudflare, wait=wait)
    assert [line.partition(": ")[2] for line in told] == ["ownership pending, certificate initializing"]
    wait_for_domain(EDGE, BUCKET, cloudflare, wait, lambda domain: domain.is_active)
    assert told == [
        f"waiting for {HOST}: ownership pending, certificate initializing",
        f"waiting for {HOST}: ownership active, certificate pending",
    ]
    assert slept == [POLL_EVERY] * 3


@pytest.mark.parametrize(
    ("progress", "words", "looks"),
    [
        ((("active", "pending"),), "not active after 20 s: ownership active, certificate pending", 6),
        ((("blocked", "pending"),), "ownership blocked", 2),
        ((("pending", "pending"), ("active", "error")), "certificate error", 2),
    ],
)
def test_a_domain_that_does_not_become_active_says_how_far_it_is(
    progress: tuple[tuple[str, str], ...], words: str, looks: int, api: CloudflareApi, cloudflare: Cloudflare
) -> None:
    api.progress = progress
    applied(cloudflare)
    with pytest.raises(EdgeError, match=words):
        wait_for_domain(EDGE, BUCKET, cloudflare, no_wait(20), lambda domain: domain.is_active)
    assert len(api.requests(f"GET /client/v4/accounts/{'a' * 32}/r2/buckets/{BUCKET}/domains/custom")) == looks


def test_an_existing_domain_is_kept_and_pending_is_not_a_change(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    applied(cloudflare)
    api.progress = (("pending", "pending"),)
    plan = planned(cloudflare)
    assert (plan.changes, plan.pending) == ((), "ownership pending, certificate pending")


def test_a_domain_of_another_bucket_gets_no_rule_of_ours(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    api.buckets["another"] = {HOST: {"domain": HOST, "enabled": True, "minTLS": "1.2", "zoneId": ZONE, "seen": 0}}
    created, failed, *rest = applied(cloudflare)
    assert isinstance(created, Applied)
    assert isinstance(failed, Rejected)
    assert "The domain is in use by another bucket. (code 10055)" in failed.error
    reason = f"{HOST} is not connected to bucket {BUCKET}"
    assert rest == [NotTried(outcome.change, reason) for outcome in rest]
    assert len(rest) == len(edge_rules(EDGE))
    assert ours(api) == {}


@pytest.mark.parametrize("ownership", ["pending", "deactivated", "blocked", "error"])
def test_a_hostname_that_does_not_lead_to_the_bucket_gets_no_rule_and_loses_those_that_are_stale(
    ownership: str, api: CloudflareApi, cloudflare: Cloudflare
) -> None:
    api.progress = ((ownership, "pending"),)
    stale = api.add_rule(Phase.REWRITE, ref=f"{ref_prefix(HOST)}old")
    told: list[str] = []
    outcomes = applied(cloudflare, wait=Wait(20, told.append, lambda _: None))
    assert [type(outcome) for outcome in outcomes[:3]] == [Applied, Applied, Applied]
    assert outcomes[2].change.id == stale["id"]
    assert {type(outcome) for outcome in outcomes[3:]} == {NotTried}
    assert f"ownership {ownership}" in told[-1]
    assert ours(api) == {}
    api.progress = (("active", "pending"),)
    assert all(isinstance(outcome, Applied) for outcome in applied(cloudflare))
    assert ours(api).keys() == {rule.ref for rule in edge_rules(EDGE)}


def test_a_domain_that_went_elsewhere_after_the_plan_gets_no_rule(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    applied(cloudflare)
    api.rulesets.clear()
    plan = planned(cloudflare)
    del api.buckets[BUCKET][HOST]
    assert {type(outcome) for outcome in apply_plan(plan, cloudflare, no_wait())} == {NotTried}
    assert ours(api) == {}


@pytest.mark.parametrize(
    ("there", "asked", "kept"),
    [
        ("1.0", None, "1.2"),
        ("1.2", None, "1.2"),
        ("1.3", None, "1.3"),
        ("1.3", "1.2", "1.2"),
        ("1.0", "1.1", "1.1"),
    ],
)
def test_min_tls_only_raises_unless_it_is_written(
    there: str, asked: str | None, kept: str, api: CloudflareApi, cloudflare: Cloudflare
) -> None:
    applied(cloudflare)
    api.buckets[BUCKET][HOST]["minTLS"] = there
    applied(cloudflare, replace(EDGE, min_tls=asked))
    assert api.buckets[BUCKET][HOST]["minTLS"] == kept


def test_without_its_bucket_a_domain_is_not_tried(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    body = b'{"success": false, "errors": [{"code": 10005, "message": "no"}], "messages": [], "result": null}'
    api.faults.append(("POST /client/v4/accounts", Answer(400, body=body)))
    outcomes = applied(cloudflare)
    assert [type(outcome) for outcome in outcomes] == [Rejected] + [NotTried] * (len(edge_rules(EDGE)) + 1)
    assert (api.buckets, ours(api)) == ({}, {})


def test_a_bucket_that_appears_meanwhile_will_do(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    plan = planned(cloudflare)
    api.buckets[BUCKET] = {}
    assert all(isinstance(outcome, Applied) for outcome in apply_plan(plan, cloudflare, no_wait()))


def test_a_rule_that_is_gone_meanwhile_will_do(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    applied(cloudflare)
    plan = planned(cloudflare, remove=True)
    api.rules(Phase.RESPONSE).pop()
    assert all(isinstance(outcome, Applied) for outcome in apply_plan(plan, cloudflare, no_wait()))
    assert ours(api) == {}


def test_a_hostname_outside_the_zone_is_refused(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    with pytest.raises(EdgeError, match=r"is example\.com, but cr\.example\.org is not in it"):
        planned(cloudflare, EdgeConfig(ZONE, "cr.example.org"))
    assert api.writes() == []
