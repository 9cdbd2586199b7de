"""From rules to a Worker and back: pulls are answered at every moment, whatever fails and wherever a run ends."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from reconciler.access.config import TokenConfig
from reconciler.cli.render.edge import edge_plan_text
from reconciler.edge.apply import POLL_EVERY, Applied, NotTried, Rejected, Wait, apply_plan, settle
from reconciler.edge.config import EdgeConfig
from reconciler.edge.handover import SPREADING
from reconciler.edge.make import make, make_rollback
from reconciler.edge.plan import ResourceKind
from reconciler.edge.rules import Phase, edge_rules, ref_prefix
from reconciler.edge.script import MAIN_MODULE, VERSION, script_name
from reconciler.errors import EdgeDenied, EdgeError
from tests.parts.cloudflare_api import STATIC, ZONE, CloudflareApi, WorkerScript
from tests.parts.scripted_server import DROP, Answer

if TYPE_CHECKING:
    from reconciler.edge.apply import EdgeOutcome
    from reconciler.edge.cloudflare import Cloudflare

HOST, BUCKET = "cr.example.com", "cr-example"
RULES = EdgeConfig("example.com", HOST)
WORKER = replace(RULES, worker=True)
PRIVATE = replace(WORKER, access={"ci": TokenConfig("ci", ("*",))})
NAME = script_name(HOST)
REFUSED = Answer(
    400, body=b'{"success": false, "errors": [{"code": 1, "message": "no"}], "messages": [], "result": null}'
)


def steps(cloudflare: Cloudflare, edge: EdgeConfig, paused: list[float] | None = None) -> Iterator[EdgeOutcome]:
    wait = Wait(0, lambda _: None, (paused if paused is not None else []).append)
    return apply_plan(make(edge, (BUCKET,), cloudflare), cloudflare, wait)


def applied(cloudflare: Cloudflare, edge: EdgeConfig, paused: list[float] | None = None) -> None:
    outcomes = list(steps(cloudflare, edge, paused))
    assert all(isinstance(one, Applied) for one in outcomes), outcomes


def refs(api: CloudflareApi) -> set[str]:
    return {one["ref"] for phase in Phase for one in api.rules(phase) if one["ref"].startswith(ref_prefix(HOST))}


def routed(api: CloudflareApi) -> list[str]:
    return [one["script"] for one in api.routes.values() if one["pattern"] == f"{HOST}/*"]


def is_answered(api: CloudflareApi) -> bool:
    """Whether a pull works: by a Worker that is there, or by all rules; not at all by a route to nothing."""
    if routed(api):
        return routed(api)[0] in api.scripts
    return refs(api) == {rule.ref for rule in edge_rules(RULES)}


def is_settled(api: CloudflareApi, edge: EdgeConfig) -> bool:
    rules = set() if edge.worker else {rule.ref for rule in edge_rules(RULES)}
    return (
        refs(api) == rules and routed(api) == ([NAME] if edge.worker else []) and (NAME in api.scripts) is edge.worker
    )


WAYS = [(RULES, WORKER), (WORKER, RULES)]


@pytest.mark.parametrize(("before", "after"), WAYS)
def test_a_run_that_ends_anywhere_leaves_pulls_answered_and_the_next_one_completes_it(
    before: EdgeConfig, after: EdgeConfig, api: CloudflareApi, cloudflare: Cloudflare
) -> None:
    for stop in itertools.count():
        api.rulesets.clear()
        api.scripts.clear()
        api.routes.clear()
        applied(cloudflare, before)
        run = steps(cloudflare, after)
        for _ in itertools.islice(run, stop):
            assert is_answered(api), stop
        ended = next(run, None) is None
        for _ in steps(cloudflare, after):
            assert is_answered(api), stop
        assert is_settled(api, after)
        if ended:
            return


@pytest.mark.parametrize(("before", "after"), WAYS)
@pytest.mark.parametrize("fault", [REFUSED, DROP, Answer(403, body=REFUSED.body)])
def test_a_call_that_fails_leaves_pulls_answered(
    before: EdgeConfig, after: EdgeConfig, fault: Answer, api: CloudflareApi, cloudflare: Cloudflare
) -> None:
    applied(cloudflare, before)
    for failing in ("PUT ", "POST ", "DELETE "):
        for _ in range(3):
            api.faults.append((failing, fault))
        for _ in steps(cloudflare, after):
            assert is_answered(api)
        api.faults.clear()
    applied(cloudflare, after)
    assert is_settled(api, after)


def test_what_is_replaced_stays_if_what_takes_over_fails(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    applied(cloudflare, RULES)
    api.faults.append(("PUT ", REFUSED))
    outcomes = list(steps(cloudflare, WORKER))
    assert isinstance(outcomes[0], Rejected)
    reason = f"worker {NAME} was not applied, and pulls need the one or the other"
    assert outcomes[1:] == [NotTried(one.change, reason) for one in outcomes[1:]]
    assert len(outcomes) == 2 + len(edge_rules(RULES))


def test_removals_wait_until_all_locations_have_what_takes_over(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    paused: list[float] = []
    applied(cloudflare, WORKER, paused)
    assert (paused, refs(api)) == ([], set())
    # Once for the rules, and once for the route, which must not lead to a Worker that is gone.
    applied(cloudflare, RULES, paused)
    assert paused == [SPREADING] * 2
    paused.clear()
    applied(cloudflare, WORKER, paused)
    assert paused == [SPREADING]


def test_a_worker_is_uploaded_once_and_again_when_it_changes(
    api: CloudflareApi, cloudflare: Cloudflare, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(cloudflare, WORKER)
    assert set(api.scripts[NAME].modules[api.scripts[NAME].current]) >= {MAIN_MODULE}
    assert make(WORKER, (BUCKET,), cloudflare).changes == ()
    first = version(api)
    edited(monkeypatch)
    (change,) = make(WORKER, (BUCKET,), cloudflare).changes
    assert (change.kind, change.action) == ("worker", "update")
    assert [line for line in change.differences() if first in line]
    applied(cloudflare, WORKER)
    assert version(api) != first
    assert len(routed(api)) == 1


def test_secrets_of_others_survive_an_upload(
    api: CloudflareApi, cloudflare: Cloudflare, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(cloudflare, WORKER)
    secret = {"type": "secret_text", "name": "TOKENS"}
    script = api.scripts[NAME]
    script.versions[script.current]["resources"]["bindings"].append(secret)
    assert make(WORKER, (BUCKET,), cloudflare).changes == ()
    edited(monkeypatch)
    applied(cloudflare, WORKER)
    assert secret in api.scripts[NAME].bindings


def test_a_rollback_deploys_the_last_version_with_other_content(
    api: CloudflareApi, cloudflare: Cloudflare, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(cloudflare, WORKER)
    first = version(api)
    with pytest.raises(EdgeError, match=f"Worker {NAME}: has no earlier version"):
        make_rollback(WORKER, (BUCKET,), cloudflare)
    edited(monkeypatch)
    applied(cloudflare, WORKER)
    script = api.scripts[NAME]
    # Setting a secret deploys the same content again.
    script.upload({"metadata": {"compatibility_date": "2026-07-30", "bindings": script.bindings}, "worker.js": ""})
    plan = make_rollback(WORKER, (BUCKET,), cloudflare)
    wait = Wait(0, lambda _: None, lambda _: None)
    (outcome,) = apply_plan(plan, cloudflare, wait)
    assert isinstance(outcome, Applied)
    assert version(api) == first
    settle(plan, cloudflare, wait)
    # It goes forward again by an apply.
    applied(cloudflare, WORKER)
    assert version(api) != first


def test_a_rollback_does_not_bring_revoked_tokens_back(
    api: CloudflareApi, cloudflare: Cloudflare, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(cloudflare, WORKER)
    cloudflare.set_secret(NAME, "ACCESS_TOKEN_CI", "1")
    edited(monkeypatch)
    applied(cloudflare, WORKER)
    now = version(api)
    cloudflare.remove_secret(NAME, "ACCESS_TOKEN_CI")
    plan = make_rollback(WORKER, (BUCKET,), cloudflare)
    (outcome,) = apply_plan(plan, cloudflare, Wait(0, lambda _: None, lambda _: None))
    assert isinstance(outcome, Rejected)
    assert "secrets have changed: ACCESS_TOKEN_CI (code 10220). Nothing was changed: tokens that were" in outcome.error
    assert version(api) == now


def test_a_private_mirror_is_not_opened_by_a_rollback(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    applied(cloudflare, WORKER)
    applied(cloudflare, PRIVATE)
    with pytest.raises(EdgeError, match="its earlier version asks for no token"):
        make_rollback(PRIVATE, (BUCKET,), cloudflare)
    assert [one["name"] for one in api.scripts[NAME].bindings] == ["BUCKET", "COUNTS", "ACCESS", "R2MIRROR_VERSION"]


def is_open(api: CloudflareApi) -> bool:
    """Whether the bucket is readable at its hostname without a token."""
    asks = any(one["name"] == "ACCESS" for script in api.scripts.values() for one in script.bindings)
    if routed(api):
        return not asks
    return HOST in api.buckets.get(BUCKET, {}) or (bool(domains_of_workers(api)) and not asks)


def domains_of_workers(api: CloudflareApi) -> list[str]:
    return [one["service"] for one in api.worker_domains.values() if one["hostname"] == HOST]


def is_closed(api: CloudflareApi) -> bool:
    """Whether a private mirror has all that it needs, and nothing that could open it."""
    return (api.buckets, routed(api), refs(api), domains_of_workers(api)) == ({BUCKET: {}}, [], set(), [NAME])


def cleared(api: CloudflareApi) -> None:
    for world in (api.buckets, api.rulesets, api.scripts, api.routes, api.worker_domains):
        world.clear()


def test_a_private_mirror_never_has_a_domain_of_its_bucket(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    for _ in steps(cloudflare, PRIVATE):
        assert not is_open(api)
    assert is_closed(api)
    assert [one for one in api.writes() if "domains/custom" in one] == []
    plan = make(PRIVATE, (BUCKET,), cloudflare)
    assert (plan.changes, plan.unchanged) == ((), 3)
    settle(plan, cloudflare, Wait(0, lambda _: None, lambda _: None))


@pytest.mark.parametrize("before", [RULES, WORKER])
def test_a_mirror_that_becomes_private_is_not_opened_again_wherever_a_run_ends(
    before: EdgeConfig, api: CloudflareApi, cloudflare: Cloudflare
) -> None:
    for stop in itertools.count():
        cleared(api)
        applied(cloudflare, before)
        was_closed = False
        run = steps(cloudflare, PRIVATE)
        for _ in itertools.islice(run, stop):
            was_closed = was_closed or not is_open(api)
            assert is_open(api) is not was_closed, stop
        ended = next(run, None) is None
        for _ in steps(cloudflare, PRIVATE):
            was_closed = was_closed or not is_open(api)
            assert is_open(api) is not was_closed, stop
        assert is_closed(api)
        if ended:
            return


@pytest.mark.parametrize("before", [RULES, WORKER])
@pytest.mark.parametrize(
    "failing", ["PUT /client/v4/accounts/a", "DELETE /client/v4/accounts", "DELETE /client/v4/zones"]
)
def test_a_call_that_fails_does_not_open_a_mirror_that_becomes_private(
    before: EdgeConfig, failing: str, api: CloudflareApi, cloudflare: Cloudflare
) -> None:
    applied(cloudflare, before)
    for _ in range(4):
        api.faults.append((failing, REFUSED))
        was_closed = not is_open(api)
        outcomes = []
        for outcome in steps(cloudflare, PRIVATE):
            outcomes.append(outcome)
            was_closed = was_closed or not is_open(api)
            assert is_open(api) is not was_closed
        failed = next((one for one in outcomes if isinstance(one, Rejected)), None)
        if failed:
            rest = outcomes[outcomes.index(failed) + 1 :]
            assert all(isinstance(one, NotTried) and "has to stay closed" in one.reason for one in rest)
    api.faults.clear()
    applied(cloudflare, PRIVATE)
    assert is_closed(api)


def test_what_was_in_front_of_a_bucket_waits_until_all_locations_know_it_closed(
    api: CloudflareApi, cloudflare: Cloudflare
) -> None:
    applied(cloudflare, WORKER)
    seen: list[tuple[float, bool, list[str]]] = []

    def sleep(seconds: float) -> None:
        seen.append((seconds, HOST in api.buckets[BUCKET], routed(api)))

    api.lingering = 2
    plan = make(PRIVATE, (BUCKET,), cloudflare)
    assert f"! no client can pull from {HOST} until its DNS record" in edge_plan_text(plan)
    outcomes = apply_plan(plan, cloudflare, Wait(60, lambda _: None, sleep))
    assert all(isinstance(one, Applied) for one in outcomes)
    assert seen == [(POLL_EVERY, False, [NAME])] * 2 + [(SPREADING, False, [NAME])]


def test_a_record_that_stays_is_named_and_the_next_run_goes_on(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    applied(cloudflare, WORKER)
    api.lingering = 1
    *_, failed, left = steps(cloudflare, PRIVATE)
    assert isinstance(failed, Rejected)
    assert "cr.example.com: has DNS records of something else; remove them in the dashboard" in failed.error
    assert isinstance(left, NotTried)
    assert not is_open(api)
    applied(cloudflare, PRIVATE)
    assert is_closed(api)


def test_a_private_mirror_is_removed_without_being_opened(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    for before in (PRIVATE, WORKER):
        cleared(api)
        applied(cloudflare, before)
        if before is WORKER:
            # As an earlier release made it: the Worker asks for tokens, on a route before the bucket's domain.
            script = api.scripts[NAME].bindings
            script.append({"type": "plain_text", "name": "ACCESS", "text": "{}"})
            api.scripts[NAME].versions[api.scripts[NAME].current]["resources"]["bindings"] = script
        plan = make(PRIVATE, (BUCKET,), cloudflare, remove=True)
        for outcome in apply_plan(plan, cloudflare, Wait(0, lambda _: None, lambda _: None)):
            assert isinstance(outcome, Applied)
            assert not is_open(api)
        assert (api.buckets, api.scripts, routed(api), api.worker_domains) == ({BUCKET: {}}, {}, [], {})
        assert make(PRIVATE, (BUCKET,), cloudflare, remove=True).changes == ()


def test_a_mirror_that_becomes_public_keeps_the_domain_of_its_worker(
    api: CloudflareApi, cloudflare: Cloudflare
) -> None:
    applied(cloudflare, PRIVATE)
    (change,) = make(WORKER, (BUCKET,), cloudflare).changes
    assert (change.kind, change.action) == ("worker", "update")
    applied(cloudflare, WORKER)
    assert make(WORKER, (BUCKET,), cloudflare).changes == ()
    list(apply_plan(make(WORKER, (BUCKET,), cloudflare, remove=True), cloudflare, Wait(0, lambda _: None)))
    assert (api.scripts, api.worker_domains) == ({}, {})


def test_from_a_private_mirror_to_rules_the_bucket_gets_the_domain_back(
    api: CloudflareApi, cloudflare: Cloudflare
) -> None:
    applied(cloudflare, PRIVATE)
    api.faults.append(("DELETE ", REFUSED))
    outcomes = list(steps(cloudflare, RULES))
    assert isinstance(outcomes[0], Rejected)
    assert all(isinstance(one, NotTried) for one in outcomes[1:])
    applied(cloudflare, RULES)
    assert is_settled(api, RULES)
    assert (list(api.buckets[BUCKET]), api.worker_domains) == ([HOST], {})


def test_without_its_bucket_a_private_mirror_gets_nothing(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    api.faults.append(("POST /client/v4/accounts", REFUSED))
    failed, *rest = steps(cloudflare, PRIVATE)
    assert isinstance(failed, Rejected)
    assert [(type(one), one.change.kind) for one in rest] == [(NotTried, "worker"), (NotTried, "worker domain")]


def test_a_domain_of_another_worker_is_not_taken(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    api.add_worker_domain(hostname=HOST, service="shop", zone_id=ZONE, zone_name="example.com")
    with pytest.raises(EdgeError, match="belongs to the Worker shop, which r2mirror did not upload"):
        make(PRIVATE, (BUCKET,), cloudflare)


def test_a_bucket_with_an_address_without_a_login_is_not_private(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    applied(cloudflare, WORKER)
    api.managed.add(BUCKET)
    assert make(WORKER, (BUCKET,), cloudflare).changes == (), "a public mirror may have the address"
    with pytest.raises(EdgeError, match=r"bucket .* can be read without a token at pub-0+\.r2\.dev"):
        make(PRIVATE, (BUCKET,), cloudflare)
    api.managed.clear()
    assert make(PRIVATE, (BUCKET,), cloudflare).changes


def test_workers_and_routes_of_others_are_left_alone(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    api.scripts["shop"] = theirs = WorkerScript()
    routes = [api.add_route(pattern=pattern, script="shop") for pattern in ("example.com/*", f"{HOST}/v2/x/*")]
    applied(cloudflare, WORKER)
    list(
        apply_plan(
            make(WORKER, (BUCKET,), cloudflare, remove=True), cloudflare, Wait(0, lambda _: None, lambda _: None)
        )
    )
    assert api.scripts == {"shop": theirs}
    assert list(api.routes.values()) == routes
    assert refs(api) == set()


@pytest.mark.parametrize(("script", "words"), [("shop", "runs the Worker shop"), ("", "is kept free of Workers")])
def test_a_route_of_others_is_not_taken(script: str, words: str, api: CloudflareApi, cloudflare: Cloudflare) -> None:
    api.add_route(pattern=f"{HOST}/*", script=script)
    with pytest.raises(EdgeError, match=f"{words}, which r2mirror did not set; remove the route first"):
        make(WORKER, (BUCKET,), cloudflare)
    # Without a Worker it is none of our business.
    assert [one for one in make(RULES, (BUCKET,), cloudflare).changes if one.kind is ResourceKind.ROUTE] == []


def test_a_worker_of_others_is_not_overwritten(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    api.scripts[NAME] = script = WorkerScript()
    script.upload({"metadata": {"compatibility_date": "2026-01-01", "bindings": []}, "index.js": ""})
    with pytest.raises(EdgeError, match="was not uploaded by r2mirror"):
        make(WORKER, (BUCKET,), cloudflare)


def test_a_token_without_the_permissions_of_workers_does_for_rules(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    api.permissions = STATIC
    applied(cloudflare, RULES)
    with pytest.raises(EdgeDenied, match="lacks the permission Zone > Workers Routes > Edit"):
        make(WORKER, (BUCKET,), cloudflare)
    api.permissions = STATIC | {"routes"}
    with pytest.raises(EdgeDenied, match="lacks the permission Account > Workers Scripts > Edit"):
        make(WORKER, (BUCKET,), cloudflare)


def version(api: CloudflareApi) -> str:
    return next(str(one["text"]) for one in api.scripts[NAME].bindings if one["name"] == VERSION)


def edited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.edge.make.worker_modules", lambda: {MAIN_MODULE: b"export default {};"})
