"""Cloudflare's API, as much of it as an edge needs: a small world that behaves as the published OpenAPI says.

Every request and every answer is held against tests/data/cloudflare-openapi.json; `violations` has what was not so.
"""

from __future__ import annotations

import contextlib
import copy
import email
import json
import re
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from jsonschema import Draft202012Validator

from tests.parts.scripted_server import Answer, Asked, serve_answers

OPENAPI = Path(__file__).parents[1] / "data" / "cloudflare-openapi.json"
TOKEN = "canary-cloudflare-token-f3b1c9"
ACCOUNT, ZONE = "a" * 32, "c" * 32
PHASES = {
    "http_request_transform": "transform",
    "http_response_headers_transform": "transform",
    "http_request_cache_settings": "cache",
}
STATIC = frozenset({"r2", "zone", "transform", "cache"})
EVERYTHING = STATIC | {"workers", "routes"}
READ_ONLY = {"id", "version", "last_updated"}


def new_id() -> str:
    return uuid.uuid4().hex


@dataclass
class WorkerScript:
    """A Worker: its versions by id, and its deployments, the current one first. `changes` counts, for each version,
    the changes of secrets before it."""

    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)
    modules: dict[str, dict[str, str]] = field(default_factory=dict)
    deployments: list[dict[str, Any]] = field(default_factory=list)

    def upload(self, form: dict[str, Any]) -> None:
        metadata, version = form["metadata"], str(uuid.uuid4())
        kept = [one for one in self.bindings if one["type"] in metadata.get("keep_bindings", [])]
        resources = {
            "bindings": [*metadata["bindings"], *kept],
            "script_runtime": {"compatibility_date": metadata["compatibility_date"]},
        }
        self.versions[version] = {"id": version, "number": len(self.versions) + 1, "resources": resources}
        self.modules[version] = {name: body for name, body in form.items() if name != "metadata"}
        self.changes[version] = self.changes[self.current] if self.deployments else 0
        self.deploy([{"version_id": version, "percentage": 100}])

    def set_secret(self, name: str, secret: dict[str, Any] | None) -> None:
        """Sets or removes a secret: what answers is deployed anew with it."""
        now = self.versions[self.current]
        version = str(uuid.uuid4())
        kept = [one for one in self.bindings if one["name"] != name]
        resources = {**now["resources"], "bindings": [*kept, *([secret] if secret else [])]}
        self.versions[version] = {"id": version, "number": len(self.versions) + 1, "resources": resources}
        self.modules[version] = self.modules[self.current]
        self.changes[version] = self.changes[self.current] + 1
        self.deploy([{"version_id": version, "percentage": 100}])

    def deploy(self, versions: list[dict[str, Any]]) -> dict[str, Any]:
        named = {"id": str(uuid.uuid4()), "created_on": "2026-01-01T00:00:00Z", "source": "api"}
        self.deployments.insert(0, {**named, "strategy": "percentage", "versions": versions})
        return self.deployments[0]

    def roll_back(self, versions: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        if self.changes[versions[0]["version_id"]] != self.changes[self.current]:
            # Wrangler expects the code; which status it has is not known.
            return failure(400, 10220, "The following secrets have changed: ACCESS_TOKEN_CI")
        return success(self.deploy(versions))

    @property
    def current(self) -> str:
        """The id of the version that answers."""
        return str(self.deployments[0]["versions"][0]["version_id"])

    @property
    def bindings(self) -> list[dict[str, Any]]:
        return list(self.versions[self.current]["resources"]["bindings"]) if self.deployments else []


def body_of(asked: Asked) -> dict[str, Any]:
    """The body of a request: JSON, or a form whose parts of JSON are parsed."""
    kind = asked.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        return json.loads(asked.body) if asked.body else {}
    message = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + asked.body)
    parts: dict[str, Any] = {}
    for part in message.walk():
        if not part.is_multipart():
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            is_json = part.get_content_type() == "application/json"
            name = str(part.get_param("name", header="content-disposition"))
            parts[name] = json.loads(content) if is_json else content.decode()
    return parts


@dataclass
class CloudflareApi:
    """One account with one zone. `permissions` are the token's; `progress` is how a new domain becomes active.

    `worker_domains` are by id. A DNS record is seen by `lingering` requests for a Worker's domain after its bucket's is gone.
    `managed` are the buckets whose r2.dev address is on. `faults` are answers that take the place of the next ones to requests that begin as said. `decorate` is what the
    server makes of a rule that it is sent.
    """

    url: str = ""
    zone_name: str = "example.com"
    permissions: frozenset[str] = EVERYTHING
    token_status: str = "active"
    token_owner: str = "user"
    buckets: dict[str, dict[str, Any]] = field(default_factory=dict)
    managed: set[str] = field(default_factory=set)
    rulesets: dict[str, dict[str, Any]] = field(default_factory=dict)
    scripts: dict[str, WorkerScript] = field(default_factory=dict)
    routes: dict[str, dict[str, Any]] = field(default_factory=dict)
    worker_domains: dict[str, dict[str, Any]] = field(default_factory=dict)
    lingering: int = 0
    progress: tuple[tuple[str, str], ...] = (("active", "active"),)
    faults: deque[tuple[str, Answer]] = field(default_factory=deque)
    decorate: Callable[[dict[str, Any]], dict[str, Any]] = dict
    asked: list[Asked] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def requests(self, beginning: str = "") -> list[str]:
        """Every request so far, as `METHOD /path`."""
        return [line for asked in self.asked if (line := f"{asked.method} {asked.path}").startswith(beginning)]

    def writes(self) -> list[str]:
        return [line for line in self.requests() if not line.startswith("GET ") and "dry_run=true" not in line]

    def rules(self, phase: str) -> list[dict[str, Any]]:
        """A phase's rules in their order, as they are stored."""
        return self.rulesets[phase]["rules"] if phase in self.rulesets else []

    def add_rule(self, phase: str, **rule: Any) -> dict[str, Any]:
        """Puts a rule at a phase's end, as its owner did some day."""
        stored = self._stored({"action": "rewrite", "expression": "true", **rule})
        self._ruleset(phase)["rules"].append(stored)
        return stored

    def answer(self, asked: Asked) -> Answer:
        with self.lock:
            self.asked.append(asked)
            line = f"{asked.method} {asked.path}"
            for number, (beginning, answer) in enumerate(self.faults):
                if line.startswith(beginning):
                    del self.faults[number]
                    return answer
            self.violations += request_violations(asked)
            status, document = self._respond(asked)
            self.violations += response_violations(asked, status, document)
            return Answer(status, {"Content-Type": "application/json"}, json.dumps(document).encode())

    def _respond(self, asked: Asked) -> tuple[int, dict[str, Any]]:
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return failure(401, 1000, "Invalid API Token")
        url = urlsplit(asked.path)
        parts = [unquote(part) for part in url.path.removeprefix("/client/v4/").split("/")]
        body = body_of(asked)
        match asked.method, parts:
            case "GET", ["user", "tokens", "verify"]:
                return self._verify("user")
            case "GET", ["accounts", _, "tokens", "verify"]:
                return self._verify("account")
            case "GET", ["zones"]:
                found = [self._zone()] if [self.zone_name] == parse_qs(url.query).get("name") else []
                return success(found if "zone" in self.permissions else [])
            case "GET", ["zones", zone]:
                return self._allowed("zone") or (success(self._zone()) if zone == ZONE else failure(404, 1001, "No"))
            case _:
                return self._changing(asked, parts, body)

    def _changing(self, asked: Asked, parts: list[str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        match asked.method, parts:
            case _, ["accounts", _, "r2", "buckets", *rest]:
                return self._allowed("r2") or self._r2(asked.method, rest, body)
            case _, ["zones", _, "rulesets", *rest] if "dry_run=true" in asked.path:
                return self._validated(asked.method, rest, body)
            case _, ["zones", _, "rulesets", *rest]:
                return self._rulesets(asked.method, rest, body)
            case _, ["accounts", _, "workers", "domains", *rest]:
                return self._allowed("workers") or self._worker_domain(asked, rest, body)
            case _, ["accounts", _, "workers", "scripts", name, *rest]:
                return self._allowed("workers") or self._script(asked.method, name, rest, body)
            case _, ["zones", _, "workers", "routes", *rest]:
                return self._allowed("routes") or self._route(asked.method, rest, body)
            case _:
                return failure(404, 7003, f"Could not route to {asked.path}")

    def _allowed(self, permission: str) -> tuple[int, dict[str, Any]] | None:
        return None if permission in self.permissions else failure(403, 10000, "Authentication error")

    def _verify(self, owner: str) -> tuple[int, dict[str, Any]]:
        if owner != self.token_owner:
            return failure(401, 1000, "Invalid API Token")
        return success({"id": "e" * 32, "status": self.token_status})

    def _zone(self) -> dict[str, Any]:
        then = "2026-01-01T00:00:00Z"
        nulls = dict.fromkeys(("original_name_servers", "original_registrar", "original_dnshost"))
        times = dict.fromkeys(("created_on", "modified_on", "activated_on"), then)
        account = {"id": ACCOUNT, "name": "somebody"}
        rest = {"development_mode": 0, "owner": {}, "meta": {}, "plan": {}, "name_servers": ["ns.example.com"]}
        return {"id": ZONE, "name": self.zone_name, "account": account, **rest, **nulls, **times}

    def _r2(self, method: str, parts: list[str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        match method, parts:
            case "POST", []:
                if body["name"] in self.buckets:
                    return failure(409, 10004, "The bucket you tried to create already exists, and you own it.")
                self.buckets[body["name"]] = {}
                return r2_success({"name": body["name"], "creation_date": "2026-01-01T00:00:00.000Z"})
            case "GET", [bucket] if bucket in self.buckets:
                return r2_success({"name": bucket})
            case _, [bucket, *_] if bucket not in self.buckets:
                return failure(404, 10006, "The specified bucket does not exist.")
            case "GET", [bucket, "domains", "managed"]:
                address = {"bucketId": "0" * 32, "domain": f"pub-{'0' * 32}.r2.dev"}
                return r2_success({**address, "enabled": bucket in self.managed})
            case _, [bucket, "domains", "custom", *rest]:
                return self._bucket_domain(method, bucket, rest, body)
            case _:
                return failure(404, 7003, "Could not route")

    def _bucket_domain(
        self, method: str, bucket: str, parts: list[str], body: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        match method, parts:
            case "GET", []:
                return r2_success({"domains": [self._domain(one) for one in self.buckets[bucket].values()]})
            case "POST", [] if self._is_a_workers(body["domain"]):
                return failure(409, 10056, "The domain has a DNS record of something else.")
            case "POST", []:
                if any(body["domain"] in domains for domains in self.buckets.values()):
                    return failure(409, 10055, "The domain is in use by another bucket.")
                self.buckets[bucket][body["domain"]] = {"minTLS": "1.0", **body, "seen": 0}
                return r2_success({key: body[key] for key in ("domain", "enabled", "zoneId")})
            case "DELETE", [domain] if domain in self.buckets[bucket]:
                del self.buckets[bucket][domain]
                return r2_success({"domain": domain})
            case "PUT", [domain]:
                self.buckets[bucket][domain] |= body
                return r2_success({"domain": domain})
            case _:
                return failure(404, 7003, "Could not route")

    def _domain(self, domain: dict[str, Any]) -> dict[str, Any]:
        """A custom domain; each look brings it one step further."""
        ownership, ssl = self.progress[min(domain["seen"], len(self.progress) - 1)]
        domain["seen"] += 1
        shown = {key: domain[key] for key in ("domain", "enabled", "minTLS", "zoneId")}
        return {**shown, "zoneName": self.zone_name, "status": {"ownership": ownership, "ssl": ssl}}

    def _rulesets(self, method: str, parts: list[str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        phase = self._phase(parts, body)
        denied = self._allowed(PHASES.get(phase, ""))
        if denied:
            return denied
        ruleset = self.rulesets.get(phase)
        match method, parts:
            case "GET", ["phases", _, "entrypoint"] if ruleset is None:
                return failure(404, 10003, f"could not find entrypoint ruleset in the {phase} phase")
            case "GET", ["phases", _, "entrypoint"]:
                return success(ruleset)
            case "POST", [] if ruleset is not None:
                return failure(400, 20217, f"a zone has one entry point ruleset for the {phase} phase")
            case "POST", []:
                self._ruleset(phase)["rules"] = [self._stored(rule) for rule in body["rules"]]
            case "POST", [_, "rules"] if ruleset and any(one["ref"] == body.get("ref") for one in ruleset["rules"]):
                return failure(400, 20120, "the refs of a ruleset's rules have to differ")
            case "POST", [_, "rules"] if ruleset:
                ruleset["rules"].append(self._stored(body))
            case "PATCH" | "DELETE", [_, "rules", id] if ruleset:
                number = next((n for n, one in enumerate(ruleset["rules"]) if one["id"] == id), None)
                if number is None:
                    return failure(404, 10002, f"could not find rule {id}")
                ruleset["rules"][number : number + 1] = [] if method == "DELETE" else [{**self._stored(body), "id": id}]
            case _:
                return failure(404, 7003, "Could not route")
        return success(self.rulesets[phase])

    def _validated(self, method: str, parts: list[str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """What a change of rules would be answered, without the change."""
        kept = copy.deepcopy(self.rulesets)
        status, document = self._rulesets(method, parts, body)
        self.rulesets = kept
        return status, {**document, "result": None}

    def _script(self, method: str, name: str, parts: list[str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        script = self.scripts.get(name)
        match method, parts:
            case "PUT", []:
                script = self.scripts.setdefault(name, WorkerScript())
                script.upload(body)
                return success({"id": name, "etag": "1", "startup_time_ms": 5})
            case _ if script is None:
                return failure(404, 10007, "This Worker does not exist on your account.")
            case "DELETE", []:
                del self.scripts[name]
                return success(None)
            case "GET", ["secrets"]:
                return success([one for one in script.bindings if one["type"] == "secret_text"])
            case "PUT", ["secrets"]:
                script.set_secret(body["name"], {"name": body["name"], "type": body["type"]})
                return success({"name": body["name"], "type": body["type"]})
            case "DELETE", ["secrets", secret]:
                script.set_secret(secret, None)
                return success(None)
            case "GET", ["deployments"]:
                return success({"deployments": script.deployments})
            case "POST", ["deployments"]:
                return script.roll_back(body["versions"])
            case "GET", ["versions", id] if id in script.versions:
                return success(script.versions[id])
            case _:
                return failure(404, 7003, "Could not route")

    def _is_a_workers(self, hostname: str) -> bool:
        return any(one["hostname"] == hostname for one in self.worker_domains.values())

    def _worker_domain(self, asked: Asked, parts: list[str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        match asked.method, parts:
            case "GET", []:
                wanted = parse_qs(urlsplit(asked.path).query).get("hostname", [])
                return success([one for one in self.worker_domains.values() if one["hostname"] in wanted])
            case "PUT", [] if body["service"] not in self.scripts:
                return failure(404, 10007, "This Worker does not exist on your account.")
            case "PUT", []:
                is_held = any(body["hostname"] in domains for domains in self.buckets.values())
                if is_held or self.lingering > 0:
                    self.lingering -= not is_held
                    return failure(409, 100117, "Hostname already has externally managed DNS records (A, CNAME, etc).")
                return success(self.add_worker_domain(**body))
            case "DELETE", [id] if id in self.worker_domains:
                del self.worker_domains[id]
                return success(None)
            case _:
                return failure(404, 100114, "workers.api.error.domain_not_found")

    def add_worker_domain(self, **domain: Any) -> dict[str, Any]:
        """Gives a Worker a domain, as its owner did some day."""
        added = {"id": new_id(), "cert_id": new_id(), **domain}
        self.worker_domains[added["id"]] = added
        return added

    def _route(self, method: str, parts: list[str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        match method, parts:
            case "GET", []:
                return success(list(self.routes.values()))
            case "POST", [] if any(one["pattern"] == body["pattern"] for one in self.routes.values()):
                return failure(409, 10020, "A route with the same pattern already exists.")
            case "POST", [] if body["script"] not in self.scripts:
                return failure(400, 10007, "workers.api.error.script_not_found")
            case "POST", []:
                return success(self.add_route(**body))
            case "DELETE", [id] if id in self.routes:
                del self.routes[id]
                return success({"id": id})
            case _:
                return failure(404, 10009, "workers.api.error.route_not_found")

    def add_route(self, **route: Any) -> dict[str, Any]:
        """Adds a route, as its owner did some day."""
        added = {"id": new_id(), **route}
        self.routes[added["id"]] = added
        return added

    def _phase(self, parts: list[str], body: dict[str, Any]) -> str:
        match parts:
            case ["phases", phase, *_]:
                return phase
            case [id, *_]:
                return next((phase for phase, ruleset in self.rulesets.items() if ruleset["id"] == id), "")
            case _:
                return str(body["phase"])

    def _ruleset(self, phase: str) -> dict[str, Any]:
        new = {"id": new_id(), "name": "default", "kind": "zone", "phase": phase, "rules": []}
        return self.rulesets.setdefault(phase, {**new, "version": "1", "last_updated": "2026-01-01T00:00:00Z"})

    def _stored(self, rule: dict[str, Any]) -> dict[str, Any]:
        """A rule as it is kept: with the API's defaults, and what only the server can say."""
        name = new_id()
        kept = {"id": name, "ref": name, "enabled": True, "description": "", **self.decorate(rule)}
        return {**kept, "version": "1", "last_updated": "2026-01-01T00:00:00Z"}


def success(result: Any) -> tuple[int, dict[str, Any]]:
    return 200, {"success": True, "errors": [], "messages": [], "result": result}


def r2_success(result: Any) -> tuple[int, dict[str, Any]]:
    return success(result)


def failure(status: int, code: int, message: str) -> tuple[int, dict[str, Any]]:
    return status, {
        "success": False,
        "errors": [{"code": code, "message": message}],
        "messages": [],
        "result": None,
    }


# What the OpenAPI description says


@cache
def _openapi() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(OPENAPI.read_text())
    return document


def _schema(node: Any, *, request: bool) -> Any:
    """A schema of OpenAPI 3.0 as JSON Schema: `nullable`; and what is read-only is not required of a request."""
    if isinstance(node, list):
        return [_schema(one, request=request) for one in node]
    if not isinstance(node, dict):
        return node
    made = {key: _schema(value, request=request) for key, value in node.items() if key not in ("nullable", "example")}
    if node.get("nullable") is True and isinstance(node.get("type"), str):
        made["type"] = [node["type"], "null"]
    if request and isinstance(node.get("required"), list):
        made["required"] = [name for name in node["required"] if name not in READ_ONLY]
    return made


@cache
def _components(*, request: bool) -> dict[str, Any]:
    made: dict[str, Any] = _schema(_openapi()["components"], request=request)
    return made


@cache
def _validator(schema: str, *, request: bool) -> Draft202012Validator:
    return Draft202012Validator({**json.loads(schema), "components": _components(request=request)})


def _complaints(schema: Any, value: Any, *, request: bool) -> list[str]:
    validator = _validator(json.dumps(_schema(schema, request=request)), request=request)
    return [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(value)]


def _operation(asked: Asked) -> dict[str, Any] | None:
    path = urlsplit(asked.path).path.removeprefix("/client/v4")
    for template, operations in _openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\{[a-z_]+\}", "[^/]+", template), path) and asked.method.lower() in operations:
            operation: dict[str, Any] = operations[asked.method.lower()]
            return operation
    return None


def _resolved(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        _, _, kind, name = node["$ref"].split("/")
        node = _openapi()["components"][kind][name]
    return node


def request_violations(asked: Asked) -> list[str]:
    """How a request is not one of the operations described."""
    line = f"{asked.method} {asked.path}"
    operation = _operation(asked)
    if operation is None:
        return [f"{line}: no such operation"]
    found = []
    query = parse_qs(urlsplit(asked.path).query)
    parameters = {(one["in"], one["name"].lower()): one for one in operation.get("parameters", [])}
    found += [f"{line}: unknown query {name}" for name in query if ("query", name) not in parameters]
    for (where, name), parameter in parameters.items():
        value = {"query": query.get(name, [None])[0], "header": asked.headers.get(name)}.get(where)
        if value is not None:
            found += [f"{line}: {name}: {one}" for one in _complaints(parameter["schema"], value, request=True)]
    described = _resolved(operation.get("requestBody", {}))
    if bool(described) != bool(asked.body):
        found.append(f"{line}: body {'missing' if described else 'not expected'}")
    elif described:
        kind = asked.headers.get("content-type", "").partition(";")[0]
        if kind not in described["content"]:
            return [*found, f"{line}: unknown content type {kind}"]
        schema = described["content"][kind]["schema"]
        found += [f"{line}: {one}" for one in _complaints(schema, body_of(asked), request=True)]
    return found


def response_violations(asked: Asked, status: int, document: Any) -> list[str]:
    """How an answer is not one that the operation describes: that the world of the tests is like the real one."""
    operation = _operation(asked)
    if operation is None:
        return []
    described = _resolved(operation["responses"]["200" if status == 200 else "4XX"])
    schema = described["content"]["application/json"]["schema"]
    return [f"{asked.method} {asked.path} -> {status}: {one}" for one in _complaints(schema, document, request=False)]


@contextlib.contextmanager
def start_cloudflare_api() -> Iterator[CloudflareApi]:
    """Runs one on a free port; fails in the end if anything was not as the OpenAPI description has it."""
    api = CloudflareApi()
    with serve_answers(api) as url:
        api.url = f"{url}/client/v4"
        yield api
    assert not api.violations, "\n".join(api.violations)
