"""From rules to a Worker and back: pulls are answered at every moment, whatever fails and wherever a run ends."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from reconciler.access.config import TokenConfig
from reconciler.edge.apply import Applied, NotTried, Rejected, Wait, apply_plan, settle
from reconciler.edge.config import EdgeConfig
from reconciler.edge.handover import SPREADING
from reconciler.edge.make import make, make_rollback
from reconciler.edge.plan import ResourceKind
from reconciler.edge.rules import Phase, edge_rules, ref_prefix
from reconciler.edge.script import MAIN_MODULE, VERSION, script_name
from reconciler.errors import EdgeDenied, EdgeError
from tests.parts.cloudflare_api import STATIC, CloudflareApi, WorkerScript
from tests.parts.scripted_server import DROP, Answer

if TYPE_CHECKING:
    from reconciler.edge.apply import EdgeOutcome
    from reconciler.edge.cloudflare import Cloudflare

HOST, BUCKET = "cr.example.com", "cr-example"
RULES = EdgeConfig("example.com", HOST)
WORKER = replace(RULES, worker=True)
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


def test_a_private_mirror_is_not_opened_by_a_rollback_or_a_removal(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    private = replace(WORKER, access={"ci": TokenConfig("ci", ("*",))})
    applied(cloudflare, WORKER)
    applied(cloudflare, private)
    with pytest.raises(EdgeError, match="its earlier version asks for no token"):
        make_rollback(private, (BUCKET,), cloudflare)
    with pytest.raises(EdgeError, match="is not removed: without it everyone could read the bucket"):
        make(private, (BUCKET,), cloudflare, remove=True)
    assert [one["name"] for one in api.scripts[NAME].bindings] == ["BUCKET", "COUNTS", "ACCESS", "R2MIRROR_VERSION"]


def test_a_bucket_with_an_address_without_a_login_is_not_private(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    private = replace(WORKER, access={"ci": TokenConfig("ci", ("*",))})
    applied(cloudflare, WORKER)
    api.managed.add(BUCKET)
    assert make(WORKER, (BUCKET,), cloudflare).changes == (), "a public mirror may have the address"
    with pytest.raises(EdgeError, match=r"bucket .* can be read without a token at pub-0+\.r2\.dev"):
        make(private, (BUCKET,), cloudflare)
    api.managed.clear()
    assert make(private, (BUCKET,), cloudflare).changes


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
