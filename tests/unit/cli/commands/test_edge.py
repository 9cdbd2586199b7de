"""`r2mirror edge` as a user runs it: its output, its exit codes, and no token in anything printed."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from jsonschema import Draft202012Validator

from reconciler.edge import cloudflare
from reconciler.edge.config import EdgeConfig
from reconciler.edge.rules import Phase, edge_rules, ref_prefix
from reconciler.edge.script import script_name
from reconciler.mirrors.schema_files import load_schema
from tests.parts.cloudflare_api import ACCOUNT, TOKEN, CloudflareApi
from tests.parts.scripted_server import Answer
from tests.parts.terminal import on_a_terminal
from tests.world import InProcess

if TYPE_CHECKING:
    import subprocess

HOST = "cr.example.com"
COUNT = len(edge_rules(EdgeConfig("example.com", HOST)))


@dataclass
class EdgeWorld(InProcess):
    """A user whose program asks Cloudflare at `api_url`; `said` is all that it ever printed."""

    api_url: str = ""
    said: list[str] = field(default_factory=list)

    def command(self, *arguments: str) -> list[str]:
        code = f"from reconciler.edge import cloudflare; cloudflare.API = {self.api_url!r}; from reconciler.cli import main"
        return [sys.executable, "-c", f"{code}; main.main()", *arguments]

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        with patch.object(cloudflare, "API", self.api_url):
            done = super().run(*arguments, code=code)
        self.said += [done.stdout, done.stderr]
        return done

    def document(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        document = json.loads(self.run(*arguments, "--format", "json", code=code).stdout)
        Draft202012Validator(load_schema("edge")).validate(document)
        assert isinstance(document, dict)
        return document


@pytest.fixture
def world(tmp_path: Path, api: CloudflareApi) -> EdgeWorld:
    store = {"type": "r2", "account_id": ACCOUNT, "bucket": "cr-example", "public_url": f"https://{HOST}"}
    world = EdgeWorld(tmp_path, store, api_url=api.url, environ={"CLOUDFLARE_API_TOKEN": TOKEN})
    world.mirrors({"source": "docker.io/library/alpine", "tags": ["latest"]})
    path = tmp_path / "mirrors.yaml"
    path.write_text(json.dumps({**json.loads(path.read_text()), "edge": {"zone": "example.com", "location": "weur"}}))
    return world


def test_a_user_plans_applies_and_has_nothing_left_to_do(world: EdgeWorld, api: CloudflareApi) -> None:
    plan = world.run("edge", "plan", "--detailed-exitcode", code=2).stdout
    prefix = ref_prefix(HOST)
    assert plan.startswith(
        f"{HOST}  bucket cr-example, zone example.com\n"
        "  + bucket cr-example\n"
        '      locationHint: "weur"\n'
        f"  + domain {HOST}\n"
    )
    assert (
        f"  + rule {prefix}ping  r2mirror {HOST}: /v2/ answers 200\n"
        "      in http_request_transform\n"
        f'      if (http.host eq "{HOST}" and http.request.uri.path in {{"/v2" "/v2/"}})\n'
        '      then {"uri": {"path": {"value": "/v2/_ping"}}}\n'
    ) in plan
    assert plan.endswith(f"\nEdge: {COUNT + 2} to add, 0 to update, 0 to remove; 0 unchanged.\n")
    assert api.writes() == []

    refused = world.run("edge", "apply", code=1)
    assert "add --yes to apply it" in refused.stderr
    assert api.writes() == []

    done = world.run("edge", "apply", "--yes")
    assert done.stdout.endswith(f"\nEdge: {COUNT + 2} added, 0 updated, 0 removed.\n")
    assert world.run("edge", "plan", "--detailed-exitcode").stdout == f"Edge: no changes; {COUNT + 2} unchanged.\n"
    assert world.run("edge", "apply", "--yes").stdout == "Edge: no changes.\n"

    removed = world.run("edge", "apply", "--yes", "--remove").stdout
    assert removed.endswith(f"\nEdge: 0 added, 0 updated, {COUNT} removed.\n")
    assert all(api.rules(phase) == [] for phase in Phase)
    assert list(api.buckets) == ["cr-example"]
    assert TOKEN not in "".join(world.said)


def test_an_update_shows_what_it_changes_and_json_is_as_its_schema_says(world: EdgeWorld, api: CloudflareApi) -> None:
    planned = world.document("edge", "plan")
    assert planned["summary"] == {"add": COUNT + 2, "update": 0, "remove": 0, "unchanged": 0}
    applied = world.document("edge", "apply", "--yes")
    assert {change["status"] for change in applied["changes"]} == {"done"}
    api.rules(Phase.REWRITE)[0]["expression"] = "false"
    api.add_rule(Phase.REWRITE, ref=f"{ref_prefix(HOST)}old", description="of an older release")
    text = world.run("edge", "plan").stdout
    assert '      expression: "false" -> "(http.host eq \\"cr.example.com\\"' in text
    assert f"  - rule {ref_prefix(HOST)}old  of an older release\n" in text
    changes = world.document("edge", "plan")["changes"]
    assert [change["action"] for change in changes] == ["remove", "update"]


def with_worker(world: EdgeWorld, *, worker: bool, **more: Any) -> None:
    path = world.folder / "mirrors.yaml"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "edge": {**document["edge"], "worker": worker, **more}}))


def test_a_worker_takes_the_place_of_the_rules_and_goes_again(
    world: EdgeWorld, api: CloudflareApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.edge.apply.SPREADING", 0.0)
    world.run("edge", "apply", "--yes")
    with_worker(world, worker=True)
    name = script_name(HOST)
    plan = world.run("edge", "plan").stdout
    assert f"  + worker {name}\n" in plan
    assert f"  + route {HOST}/*\n" in plan
    assert plan.index("+ route") < plan.index("- rule")
    done = world.run("edge", "apply", "--yes")
    assert done.stdout.endswith(f"\nEdge: 2 added, 0 updated, {COUNT} removed.\n")
    assert "waiting 0 s until all of Cloudflare's locations have these changes" in done.stderr
    assert world.run("edge", "plan").stdout == "Edge: no changes; 4 unchanged.\n"
    failed = world.run("edge", "apply", "--yes", "--rollback", code=1).stderr
    assert f"Worker {name}: has no earlier version to roll back to" in failed

    monkeypatch.setattr("reconciler.edge.make.worker_modules", lambda: {"worker.js": b"export default {};"})
    updated = world.document("edge", "apply", "--yes")["changes"]
    assert [(change["kind"], change["action"]) for change in updated] == [("worker", "update")]
    rolled_back = world.document("edge", "apply", "--yes", "--rollback")["changes"]
    assert (rolled_back[0]["after"], rolled_back[0]["before"]) != (rolled_back[0]["before"], rolled_back[0]["after"])
    assert world.run("edge", "apply", "--yes", "--rollback", "--remove", code=1).stderr.endswith("use one of them\n")

    removed = world.run("edge", "apply", "--yes", "--remove").stdout
    assert removed.endswith("\nEdge: 0 added, 0 updated, 2 removed.\n")
    assert (api.scripts, api.routes) == ({}, {})


def test_an_update_of_the_worker_is_by_the_names_of_its_bindings_and_names_without_a_token_are_noted(
    world: EdgeWorld, api: CloudflareApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.edge.apply.SPREADING", 0.0)
    with_worker(world, worker=True)
    first = world.run("edge", "plan").stdout
    assert '      bindings.BUCKET: {"type": "r2_bucket", "bucket_name": "cr-example"}\n' in first
    world.run("edge", "apply", "--yes")
    with_worker(world, worker=True, access={name: {"repositories": ["*"]} for name in ("team-a", "ci")})
    plan = world.run("edge", "plan")
    assert '      bindings.ACCESS: nothing -> {"type": "plain_text", "text": ' in plan.stdout
    assert "bindings.BUCKET" not in plan.stdout
    note = "note: no token for {}; `r2mirror edge token create` makes one\n"
    assert plan.stderr == note.format("ci, team-a")
    assert world.run("edge", "apply", "--yes").stderr.endswith(note.format("ci, team-a"))
    made = world.run("edge", "token", "create", "team-a").stderr
    assert made.endswith(f"log in with: docker login --username team-a {HOST}\n")
    assert world.run("edge", "plan").stderr == note.format("ci")
    world.run("edge", "token", "create", "ci")
    assert world.run("edge", "plan").stderr == ""


def test_a_plan_has_new_rules_validated_and_says_what_would_be_refused(world: EdgeWorld, api: CloudflareApi) -> None:
    world.run("edge", "apply", "--yes")
    api.rules(Phase.REWRITE)[0]["expression"] = "false"
    del api.rules(Phase.CACHE)[0]
    writes = api.writes()
    world.run("edge", "plan")
    assert len(api.requests("POST")) == len([one for one in writes if one.startswith("POST")]) + 1
    assert len([one for one in api.requests("PATCH") if one.endswith("?dry_run=true")]) == 1
    no = {"success": False, "errors": [{"code": 20083, "message": "too many rules"}], "messages": [], "result": None}
    api.faults.append(("POST ", Answer(400, body=json.dumps(no).encode())))
    text = world.run("edge", "plan", code=1).stdout
    assert "      ! refused: Cloudflare answered 400: too many rules (code 20083)" in text
    api.faults.append(("POST ", Answer(400, body=json.dumps(no).encode())))
    errors = [change["error"] for change in world.document("edge", "plan", code=1)["changes"]]
    assert [error for error in errors if error] != errors
    assert api.writes() == writes


def test_a_token_that_may_only_read_plans_without_validation(world: EdgeWorld, api: CloudflareApi) -> None:
    no = {"success": False, "errors": [{"code": 10000, "message": "no"}], "messages": [], "result": None}
    api.faults.append(("POST ", Answer(403, body=json.dumps(no).encode())))
    assert world.run("edge", "plan").stdout.endswith(
        f"\nEdge: {COUNT + 2} to add, 0 to update, 0 to remove; 0 unchanged.\n"
    )
    assert len(api.requests("POST")) == 1


def test_the_state_bucket_is_created_too_and_has_no_domain(world: EdgeWorld, api: CloudflareApi) -> None:
    path = world.folder / "mirrors.yaml"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "store": {**document["store"], "state_bucket": "cr-state"}}))
    api.faults.append(("POST /client/v4/accounts", Answer(503)))
    failed = world.run("edge", "apply", "--yes", code=1).stdout
    assert "! bucket cr-example: failed: " in failed
    assert f"! domain {HOST}: skipped: its bucket could not be created\n" in failed
    assert list(api.buckets) == ["cr-state"]
    world.run("edge", "apply", "--yes")
    assert {name: list(domains) for name, domains in api.buckets.items()} == {"cr-state": [], "cr-example": [HOST]}
    assert world.run("edge", "plan").stdout == f"Edge: no changes; {COUNT + 3} unchanged.\n"


@pytest.mark.slow
def test_on_a_terminal_apply_asks_first(world: EdgeWorld, api: CloudflareApi) -> None:
    code, screen = on_a_terminal(world, "n\n", "edge", "apply")
    assert (code, api.writes()) == (1, [])
    assert "Apply this?" in screen
    assert on_a_terminal(world, "y\n", "edge", "apply")[0] == 0


def test_what_fails_is_told_and_the_rest_is_done(world: EdgeWorld, api: CloudflareApi) -> None:
    body = b'{"success": false, "errors": [{"code": 20000, "message": "exceeded 10 rules"}], "messages": []}'
    api.faults.append(("POST /client/v4/zones", Answer(400, body=body)))
    done = world.run("edge", "apply", "--yes", code=1)
    assert (
        "failed: the http_request_transform rules of zone example.com: Cloudflare answered 400: exceeded 10 rules"
        in (done.stdout)
    )
    assert done.stdout.endswith(f"\nEdge: {COUNT + 1} added, 0 updated, 0 removed; 1 not done.\n")
    failed = world.document("edge", "apply", "--yes")
    assert [change["status"] for change in failed["changes"]] == ["done"]


def test_a_server_that_keeps_a_rule_otherwise_is_found_out(world: EdgeWorld, api: CloudflareApi) -> None:
    api.decorate = lambda rule: {**rule, "description": rule["description"][:20]}
    done = world.run("edge", "apply", "--yes", code=1)
    assert "zone example.com: still differs after all changes were applied: update r2mirror_" in done.stderr


def test_a_domain_that_stays_pending_ends_with_one(world: EdgeWorld, api: CloudflareApi) -> None:
    api.progress = (("active", "pending"),)
    done = world.run("edge", "apply", "--yes", "--timeout", "0", code=1)
    assert "custom domain cr.example.com: not active after 0 s: ownership active, certificate pending" in done.stderr
    assert f"  ! {HOST} is not active yet: ownership active, certificate pending\n" in world.run("edge", "plan").stdout


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("", "CLOUDFLARE_API_TOKEN: is not set; create an API token (docs/edge.md)"),
        ("short", "CLOUDFLARE_API_TOKEN: is not a valid API token"),
        (f"{TOKEN}\nX-Evil: 1", "CLOUDFLARE_API_TOKEN: is not a valid API token"),
        ("wrong-token-of-enough-characters", "CLOUDFLARE_API_TOKEN: Cloudflare does not know this token"),
    ],
)
def test_an_invalid_token(token: str, words: str, world: EdgeWorld) -> None:
    world.environ = {"CLOUDFLARE_API_TOKEN": token}
    done = world.run("edge", "plan", code=1)
    assert done.stderr.rpartition("error: ")[2].startswith(words)
    assert not token or token not in done.stderr


def test_a_file_without_an_edge(world: EdgeWorld, tmp_path: Path) -> None:
    world.mirrors({"source": "docker.io/library/alpine", "tags": ["latest"]})
    assert "has no edge.zone; add it, e.g." in world.run("edge", "plan", code=1).stderr


def test_the_token_is_in_nothing_that_is_printed(world: EdgeWorld, api: CloudflareApi) -> None:
    echo = json.dumps({"success": False, "errors": [{"code": 1, "message": f"bad {TOKEN}"}], "messages": []}).encode()
    for beginning, answer in (
        ("GET /client/v4/user", Answer(500)),
        ("GET /client/v4/zones?", Answer(403, body=echo)),
        ("GET /client/v4/accounts", Answer(200, body=TOKEN.encode())),
        ("GET /client/v4/accounts", Answer(302, {"Location": f"http://127.0.0.1:9/{TOKEN}"})),
        ("GET /client/v4/zones/", Answer(400, body=echo)),
    ):
        api.faults.clear()
        api.faults.append((beginning, answer))
        world.run("edge", "plan", code=0 if answer.status == 500 else 1)
    api.faults.append(("POST /client/v4/zones", Answer(400, body=echo)))
    world.run("edge", "apply", "-vv", "--yes", "--format", "json", code=1)
    assert "GET /zones" in world.said[-1]
    assert TOKEN not in "".join(world.said)
