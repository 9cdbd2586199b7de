"""Cloudflare's API as its client meets it: permissions, limits, broken answers, and what may be retried."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from reconciler.edge.cloudflare import MAX_BODY, ApiToken, Cloudflare, find_token
from reconciler.edge.config import EdgeConfig
from reconciler.edge.make import observe
from reconciler.edge.observed import Zone
from reconciler.edge.rules import Phase, edge_rules
from reconciler.errors import EdgeDenied, EdgeError, EdgeUnreachable
from reconciler.http.patience import Patience
from tests.parts.cloudflare_api import ACCOUNT, EVERYTHING, TOKEN, ZONE
from tests.parts.process import free_port
from tests.parts.scripted_server import DROP, Answer

if TYPE_CHECKING:
    from tests.parts.cloudflare_api import CloudflareApi

EDGE = EdgeConfig("example.com", "cr.example.com")
RULE = edge_rules(EDGE)[0].body()


def seen(cloudflare: Cloudflare, edge: EdgeConfig = EDGE) -> None:
    observe(edge, ("cr-example",), cloudflare)


@pytest.mark.parametrize(
    ("missing", "edge", "words"),
    [
        ("r2", EDGE, "bucket cr-example: .* lacks the permission Account > Workers R2 Storage > Edit"),
        ("transform", EDGE, "rules of zone example.com: .* lacks the permission Zone > Transform Rules > Edit"),
        ("cache", EDGE, "rules of zone example.com: .* lacks the permission Zone > Cache Rules > Edit"),
        ("zone", EDGE, "zone example.com: the token cannot see a zone of that name; .* has Zone > Zone > Read"),
        ("zone", EdgeConfig(ZONE, EDGE.hostname), f"zone {ZONE}: .* lacks the permission Zone > Zone > Read"),
    ],
)
def test_a_permission_that_is_missing_is_named_before_anything_is_done(
    missing: str, edge: EdgeConfig, words: str, api: CloudflareApi, cloudflare: Cloudflare
) -> None:
    api.permissions = EVERYTHING - {missing}
    with pytest.raises(EdgeError, match=words):
        seen(cloudflare, edge)
    assert api.writes() == []


def test_a_token_of_the_account_will_do(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    api.token_owner = "account"
    seen(cloudflare)


@pytest.mark.parametrize("status", ["disabled", "expired"])
def test_a_token_that_is_not_active(status: str, api: CloudflareApi, cloudflare: Cloudflare) -> None:
    api.token_status = status
    with pytest.raises(EdgeDenied, match=f"the token is {status}, not active"):
        seen(cloudflare)


def test_a_zone_of_another_account(api: CloudflareApi) -> None:
    with (
        Cloudflare(ApiToken(TOKEN), "b" * 32, "default", api.url) as cloudflare,
        pytest.raises(EdgeError, match=r"is not in the account store\.account_id"),
    ):
        cloudflare.zone("example.com")


def test_a_limit_is_waited_out_as_long_as_it_asks(
    api: CloudflareApi, cloudflare: Cloudflare, pauses: list[float]
) -> None:
    api.faults += [("GET", Answer(429, {"Retry-After": "7"})), ("GET", Answer(503))]
    seen(cloudflare)
    assert pauses[0] == 7.0
    assert len(pauses) == 2


def test_what_stays_broken_is_given_up(api: CloudflareApi, cloudflare: Cloudflare, pauses: list[float]) -> None:
    api.faults += [("GET", Answer(502))] * 3
    with pytest.raises(EdgeUnreachable, match="the API token: Cloudflare's API answered 502 after 3 attempts"):
        seen(cloudflare)
    assert len(pauses) == 2


def test_a_post_is_repeated_after_a_limit_but_not_when_it_may_have_been_done(
    api: CloudflareApi, cloudflare: Cloudflare
) -> None:
    zone = cloudflare.zone("example.com")
    api.faults.append(("POST", Answer(429)))
    ruleset = cloudflare.create_ruleset(zone, Phase.REWRITE, RULE)
    assert len(api.requests("POST")) == 2
    for fault in (Answer(500), DROP):
        api.faults.append(("POST", fault))
        with pytest.raises(EdgeUnreachable, match="may have applied it; `r2mirror edge plan` shows whether"):
            cloudflare.add_rule(zone, Phase.REWRITE, ruleset, {**RULE, "ref": "r2mirror_x"})
    assert len(api.requests("POST")) == 4


def test_a_connection_that_breaks_is_made_again(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    api.faults += [("GET", DROP), ("GET", Answer(200, body=b'{"success": true}', cut=5))]
    seen(cloudflare)


def test_an_address_that_does_not_answer() -> None:
    patience = Patience(attempts=2, sleep=lambda _: None)
    url = f"http://127.0.0.1:{free_port()}/client/v4"
    with (
        Cloudflare(ApiToken(TOKEN), ACCOUNT, "default", url, patience) as cloudflare,
        pytest.raises(EdgeUnreachable, match=r"cannot be reached \(ConnectError\) after 2 attempts"),
    ):
        cloudflare.has_bucket("cr-example")


NULL = {"success": True, "errors": [], "messages": [], "result": None}
ODD = [
    b"",
    b"<html>sign in</html>",
    b"[]",
    b"null",
    b'{"success": "yes", "errors": []}',
    b'{"success": true}',
    b'{"success": false, "errors": []}',
    b"[" * 100_000,
    b"\xff",
    *(
        json.dumps({**NULL, "result": result}).encode()
        for result in (
            None,
            [],
            {"id": 1},
            {"id": "..", "name": "example.com", "account": {"id": ACCOUNT}},
            [{"id": "../../../accounts", "name": "example.com", "account": {"id": ACCOUNT}}],
            {"id": "../rules", "rules": []},
            {"id": "x", "rules": [{"id": "..", "ref": "y"}]},
            {"id": "x", "rules": 3},
            {"id": "x", "rules": [3]},
            {"id": "x", "rules": [{"id": "y", "ref": 4}]},
            {"id": "x", "rules": [{"id": "y", "deep": json.loads("[" * 200 + "]" * 200)}]},
            {"domains": 3},
            {"domains": [{"domain": "cr.example.com", "enabled": True}]},
            [{"id": "x"}],
        )
    ),
]


@pytest.mark.parametrize("number", range(len(ODD)))
@pytest.mark.parametrize(
    "request_line", ["GET /client/v4/user", "GET /client/v4/zones?", "GET /client/v4/accounts", "GET /client/v4/zones/"]
)
def test_an_answer_that_is_none_is_an_error_that_names_what_was_asked(
    number: int, request_line: str, api: CloudflareApi, cloudflare: Cloudflare
) -> None:
    api.buckets["cr-example"] = {}
    api.faults.append((request_line, Answer(200, body=ODD[number])))
    said = "zone x: nothing wrong, for this request needs no more than a success"
    try:
        seen(cloudflare)
    except EdgeError as error:
        said = str(error)
    assert re.match(r"(the|zone|bucket|CLOUDFLARE_API_TOKEN|custom)", said)
    assert len(said) < 400
    assert not api.faults


ODD_OF_WORKERS: list[object] = [
    [{"id": "..", "pattern": "x/*"}],
    [{"id": "x", "pattern": "x/*", "script": 3}],
    {"deployments": 3},
    {"deployments": [{"versions": []}]},
    {"deployments": [{"versions": [{"version_id": "../../x"}]}]},
    {"id": "../x", "resources": {}},
    {"id": "x", "resources": 3},
]
ODD_WORKERS = [*ODD, *(json.dumps({**NULL, "result": result}).encode() for result in ODD_OF_WORKERS)]


@pytest.mark.parametrize("number", range(len(ODD_WORKERS)))
def test_an_answer_about_workers_that_is_none_is_an_error_too(
    number: int, api: CloudflareApi, cloudflare: Cloudflare
) -> None:
    zone = Zone(ZONE, "example.com", ACCOUNT)
    for path, read in (
        ("/zones/", lambda: cloudflare.routes(zone)),
        ("/accounts/", lambda: cloudflare.deployments("x")),
        ("/accounts/", lambda: cloudflare.version("x", "y")),
        ("/accounts/", lambda: cloudflare.managed_domain("x")),
    ):
        api.faults.append((f"GET /client/v4{path}", Answer(200, body=ODD_WORKERS[number])))
        said = "Worker x: an empty list is a valid answer about routes"
        try:
            read()
        except EdgeError as error:
            said = str(error)
        else:
            assert ODD_WORKERS[number] == json.dumps({**NULL, "result": []}).encode()
        assert re.match("(the Workers routes of zone|Worker x|the r2.dev address of bucket x)", said)
        assert len(said) < 400


def test_no_worker_is_not_an_error_and_another_404_is(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    assert cloudflare.deployments("x") is None
    other = {"success": False, "errors": [{"code": 7003, "message": "no route"}], "messages": [], "result": None}
    api.faults.append(("GET /client/v4/accounts", Answer(404, body=json.dumps(other).encode())))
    with pytest.raises(EdgeError, match=r"Worker x: Cloudflare answered 404: no route \(code 7003\)"):
        cloudflare.deployments("x")


@pytest.mark.parametrize("odd", ["..", ".", "", "../x", "a/b", "a?b", "a b", "é", "a" * 101])
def test_an_id_that_would_lead_to_another_path_is_refused(odd: str, api: CloudflareApi, cloudflare: Cloudflare) -> None:
    zone = {"id": odd, "name": "example.com", "account": {"id": ACCOUNT}}
    api.faults.append(("GET /client/v4/zones", Answer(200, body=json.dumps({**NULL, "result": [zone]}).encode())))
    with pytest.raises(EdgeError, match=r"zone example\.com: expected a zone with its id"):
        cloudflare.zone("example.com")
    for ruleset in ({"id": odd, "rules": []}, {"id": "x", "rules": [{"id": odd}]}):
        api.faults.append(("GET /client/v4/zones", Answer(200, body=json.dumps({**NULL, "result": ruleset}).encode())))
        with pytest.raises(EdgeError, match="expected a ru"):
            cloudflare.ruleset(Zone(ZONE, "example.com", ACCOUNT), Phase.REWRITE)


def test_an_answer_without_an_end_is_cut_off(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    api.faults.append(("GET", Answer(200, body=b"x" * 1024 * 1024, repeat=MAX_BODY // 1024 // 1024 + 1)))
    with pytest.raises(EdgeError, match="more than 8388608 bytes"):
        seen(cloudflare)


def test_a_redirect_is_not_followed(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    api.faults.append(("GET", Answer(302, {"Location": f"{api.url}/elsewhere"})))
    with pytest.raises(EdgeError, match="got 302 with other content; check that no proxy"):
        seen(cloudflare)
    assert len(api.asked) == 1


def test_the_token_is_not_in_its_repr() -> None:
    token = find_token({"CLOUDFLARE_API_TOKEN": f" {TOKEN}\n"})
    assert token.value == TOKEN
    assert TOKEN not in f"{token!r} {token}"
