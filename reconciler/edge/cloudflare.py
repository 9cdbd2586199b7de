"""The part of Cloudflare's API that an edge needs; the only module of edge/ that sends requests.

Every request names the token permission that it needs, so that an error can name the one that is missing. Idempotent
requests are retried after a time-out, a 429 or a 5xx; a POST only if it cannot have taken effect. Rulesets are changed
rule by rule, never with the PUT of a ruleset, which would replace the zone's other rules too.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import field, replace
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias
from urllib.parse import quote

from reconciler.edge.config import ZONE_ID
from reconciler.edge.observed import (
    Domain,
    LiveRoute,
    LiveVersion,
    LiveWorkerDomain,
    Ruleset,
    Zone,
    parse_deployments,
    parse_domains,
    parse_managed_domain,
    parse_routes,
    parse_ruleset,
    parse_version,
    parse_worker_domains,
    parse_zone,
    parse_zones,
)
from reconciler.edge.rules import Phase
from reconciler.errors import BadAnswer, EdgeDenied, EdgeError, EdgeUnreachable, Unreachable
from reconciler.frozen import Frozen
from reconciler.http.bodies import read_bounded
from reconciler.http.client import open_client
from reconciler.http.faults import NOT_ANSWERED, Fault, attempts, fault
from reconciler.http.patience import Patience, Retry, Unavailable, is_temporary, unavailable

if TYPE_CHECKING:
    from reconciler.edge.script import Script

logger = logging.getLogger(__name__)

API = "https://api.cloudflare.com/client/v4"
TOKEN_VARIABLE = "CLOUDFLARE_API_TOKEN"  # noqa: S105 the name of the variable
MAX_BODY = 8 * 1024 * 1024
"""The maximum size of an answer, in bytes; a ruleset of a thousand rules has about one million."""

R2_EDIT = "Account > Workers R2 Storage > Edit"
ZONE_READ = "Zone > Zone > Read"
WORKERS_EDIT = "Account > Workers Scripts > Edit"
ROUTES_EDIT = "Zone > Workers Routes > Edit"
PHASE_EDIT = {
    Phase.REWRITE: "Zone > Transform Rules > Edit",
    Phase.RESPONSE: "Zone > Transform Rules > Edit",
    Phase.CACHE: "Zone > Cache Rules > Edit",
}
"""Permissions as the dashboard names them when a token is created."""

# Codes that the API's description does not list.
_BUCKET_EXISTS = 10004
_NO_ENTRYPOINT = 10003
_NO_SCRIPT = 10007
_OTHER_SECRETS = 10220
_HAS_RECORDS = 100117


class ApiToken(Frozen):
    """The API token; never shown."""

    value: str = field(repr=False)


Parts: TypeAlias = "Mapping[str, tuple[str | None, bytes, str]]"
"""The parts of a form by their names: file name, content and content type."""


class _Call(Frozen):
    """A request: `what` it is about, for errors, and the permission that it `needs`. Its body is JSON, or a form."""

    method: str
    path: str
    what: str
    needs: str
    body: Mapping[str, Any] | None = field(default=None, hash=False)
    query: Mapping[str, str] | None = field(default=None, hash=False)
    parts: Parts | None = field(default=None, hash=False)

    @property
    def may_be_repeated(self) -> bool:
        return self.method != "POST"


class _Envelope(Frozen):
    """An answer of the API: status, result, and errors as (code, message)."""

    status: int
    result: Any = field(hash=False)
    errors: tuple[tuple[int, str], ...]

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def codes(self) -> frozenset[int]:
        return frozenset(code for code, _ in self.errors)


def find_token(environ: Mapping[str, str]) -> ApiToken:
    """Reads the token in `CLOUDFLARE_API_TOKEN`. Raises `EdgeDenied` if it is not set, or not a valid token."""
    text = environ.get(TOKEN_VARIABLE, "").strip()
    if not text:
        raise EdgeDenied(TOKEN_VARIABLE, "is not set; create an API token (docs/edge.md) and export it")
    if not re.fullmatch(r"[!-~]{20,1000}", text):
        raise EdgeDenied(
            TOKEN_VARIABLE, "is not a valid API token: expected at least 20 printable characters without spaces"
        )
    return ApiToken(text)


class Cloudflare:
    """The API for one account; a context manager. Every method raises `EdgeError` or a subclass."""

    def __init__(
        self, token: ApiToken, account_id: str, jurisdiction: str, base_url: str = API, patience: Patience | None = None
    ) -> None:
        self.account_id = account_id
        self._retry = Retry(patience or Patience(total=math.inf))
        self._token = token
        self._base_url = base_url
        self.jurisdiction = jurisdiction
        self._jurisdiction = {} if jurisdiction == "default" else {"cf-r2-jurisdiction": jurisdiction}
        self._client = open_client()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def check_token(self) -> None:
        """Verifies that the token is active, a user's or the account's. Raises `EdgeDenied`."""
        # A token belongs to a user or to an account, and each has its own path for verification.
        for owner in ("/user", f"/accounts/{self.account_id}"):
            answer = self._answer(_Call("GET", f"{owner}/tokens/verify", "the API token", "any"), (400, 401, 403))
            if answer.is_success:
                status = answer.result.get("status") if isinstance(answer.result, dict) else None
                if status != "active":
                    raise EdgeDenied(TOKEN_VARIABLE, f"the token is {str(status)[:20]}, not active; create a new one")
                return
        raise EdgeDenied(TOKEN_VARIABLE, "Cloudflare does not know this token; check it, or create a new one")

    def zone(self, name_or_id: str) -> Zone:
        what = f"zone {name_or_id}"
        if ZONE_ID.fullmatch(name_or_id):
            zone = parse_zone(self._result(_Call("GET", f"/zones/{name_or_id}", what, ZONE_READ)), what)
        else:
            found = self._result(_Call("GET", "/zones", what, ZONE_READ, query={"name": name_or_id}))
            # Compared here too, so that a filter that finds more than the exact name cannot select another zone.
            zones = [one for one in parse_zones(found, what) if one.name == name_or_id]
            if not zones:
                raise EdgeError(
                    what,
                    f"the token cannot see a zone of that name; check edge.zone, and that the token has {ZONE_READ}",
                )
            zone = zones[0]
        if zone.account_id != self.account_id:
            raise EdgeError(
                what, "is not in the account store.account_id; a bucket's domain has to be in the bucket's account"
            )
        return zone

    def has_bucket(self, bucket: str) -> bool:
        return self._answer(_Call("GET", self._bucket_path(bucket), f"bucket {bucket}", R2_EDIT), (404,)).is_success

    def create_bucket(self, bucket: str, body: Mapping[str, Any]) -> None:
        """Creates a bucket, unless this account has it already."""
        path = f"/accounts/{self.account_id}/r2/buckets"
        call = _Call("POST", path, f"bucket {bucket}", R2_EDIT, body)
        answer = self._answer(call, (400, 409))
        if not answer.is_success and _BUCKET_EXISTS not in answer.codes:
            raise self._refused(call, answer)

    def domains(self, bucket: str) -> tuple[Domain, ...]:
        what = f"the custom domains of bucket {bucket}"
        found = self._result(_Call("GET", f"{self._bucket_path(bucket)}/domains/custom", what, R2_EDIT))
        return parse_domains(found, what)

    def domain(self, bucket: str, hostname: str) -> Domain | None:
        return next((one for one in self.domains(bucket) if one.hostname == hostname), None)

    def managed_domain(self, bucket: str) -> str | None:
        """Returns the `r2.dev` address at which everyone can read a bucket; None if it is off."""
        what = f"the r2.dev address of bucket {bucket}"
        found = self._result(_Call("GET", f"{self._bucket_path(bucket)}/domains/managed", what, R2_EDIT))
        return parse_managed_domain(found, what)

    def connect_domain(self, bucket: str, hostname: str, body: Mapping[str, Any]) -> None:
        path = f"{self._bucket_path(bucket)}/domains/custom"
        self._result(_Call("POST", path, f"custom domain {hostname}", R2_EDIT, body))

    def configure_domain(self, bucket: str, hostname: str, body: Mapping[str, Any]) -> None:
        path = f"{self._bucket_path(bucket)}/domains/custom/{quote(hostname, safe='')}"
        self._result(_Call("PUT", path, f"custom domain {hostname}", R2_EDIT, body))

    def disconnect_domain(self, bucket: str, hostname: str) -> None:
        """Takes a custom domain from a bucket, with its DNS record, unless it is gone already."""
        path = f"{self._bucket_path(bucket)}/domains/custom/{quote(hostname, safe='')}"
        self._answer(_Call("DELETE", path, f"custom domain {hostname}", R2_EDIT), (404,))

    def ruleset(self, zone: Zone, phase: Phase) -> Ruleset:
        """Fetches the entry point ruleset of a phase; empty and without an id if the zone has none yet."""
        call = self._rules_call("GET", zone, phase, f"phases/{phase}/entrypoint")
        answer = self._answer(call, (404,))
        if answer.status == 404:
            if _NO_ENTRYPOINT not in answer.codes:
                raise self._refused(call, answer)
            return Ruleset(phase, None, ())
        return parse_ruleset(answer.result, phase, call.what)

    def create_ruleset(self, zone: Zone, phase: Phase, rule: Mapping[str, Any]) -> str:
        """Creates a phase's entry point with its first rule, and returns its id."""
        body = {"name": "default", "kind": "zone", "phase": phase.value, "rules": [rule]}
        call = self._rules_call("POST", zone, phase, "", body)
        ruleset = parse_ruleset(self._result(call), phase, call.what)
        if ruleset.id is None:
            raise EdgeError(call.what, "the new ruleset has no id")
        return ruleset.id

    def add_rule(self, zone: Zone, phase: Phase, ruleset_id: str, rule: Mapping[str, Any]) -> None:
        """Adds a rule after all others."""
        self._result(self._rules_call("POST", zone, phase, f"{quote(ruleset_id, safe='')}/rules", rule))

    def change_rule(self, zone: Zone, phase: Phase, ruleset_id: str, rule_id: str, rule: Mapping[str, Any]) -> None:
        """Replaces a rule, which keeps its place."""
        path = f"{quote(ruleset_id, safe='')}/rules/{quote(rule_id, safe='')}"
        self._result(self._rules_call("PATCH", zone, phase, path, rule))

    def remove_rule(self, zone: Zone, phase: Phase, ruleset_id: str, rule_id: str) -> None:
        """Removes a rule, unless it is gone already."""
        path = f"{quote(ruleset_id, safe='')}/rules/{quote(rule_id, safe='')}"
        self._answer(self._rules_call("DELETE", zone, phase, path), (404,))

    def validate_rule(
        self, zone: Zone, phase: Phase, ruleset_id: str | None, rule_id: str | None, rule: Mapping[str, Any]
    ) -> None:
        """Has Cloudflare validate a rule that would be added, or changed, without storing it."""
        if ruleset_id is None:
            body = {"name": "default", "kind": "zone", "phase": phase.value, "rules": [rule]}
            call = self._rules_call("POST", zone, phase, "", body)
        elif rule_id is None:
            call = self._rules_call("POST", zone, phase, f"{quote(ruleset_id, safe='')}/rules", rule)
        else:
            path = f"{quote(ruleset_id, safe='')}/rules/{quote(rule_id, safe='')}"
            call = self._rules_call("PATCH", zone, phase, path, rule)
        self._result(replace(call, query={"dry_run": "true"}))

    def routes(self, zone: Zone) -> tuple[LiveRoute, ...]:
        call = self._routes_call("GET", zone)
        return parse_routes(self._result(call), call.what)

    def add_route(self, zone: Zone, pattern: str, script: str) -> None:
        self._result(self._routes_call("POST", zone, body={"pattern": pattern, "script": script}))

    def remove_route(self, zone: Zone, route_id: str) -> None:
        """Removes a route, unless it is gone already."""
        self._answer(self._routes_call("DELETE", zone, f"/{quote(route_id, safe='')}"), (404,))

    def deployments(self, script: str) -> tuple[tuple[str, ...], ...] | None:
        """Lists the versions that each deployment of a Worker runs, the current one first; None without the Worker."""
        call = self._script_call("GET", script, "/deployments")
        answer = self._answer(call, (404,))
        if answer.status == 404:
            if _NO_SCRIPT not in answer.codes:
                raise self._refused(call, answer)
            return None
        return parse_deployments(answer.result, call.what)

    def version(self, script: str, version_id: str) -> LiveVersion:
        call = self._script_call("GET", script, f"/versions/{quote(version_id, safe='')}")
        return parse_version(self._result(call), call.what)

    def upload_script(self, script: Script) -> None:
        """Uploads a Worker, all of whose requests are answered by it from then on."""
        parts: dict[str, tuple[str | None, bytes, str]] = {
            name: (name, body, "application/javascript+module") for name, body in script.modules.items()
        }
        parts["metadata"] = (None, json.dumps(script.metadata).encode(), "application/json")
        self._result(replace(self._script_call("PUT", script.name, ""), parts=parts))

    def deploy_version(self, script: str, version_id: str) -> None:
        """Has an earlier version of a Worker answer all of its requests. Refused if its secrets have changed since."""
        # Cloudflare would do it with `force=true`, and tokens that were revoked since would be valid again.
        body = {"strategy": "percentage", "versions": [{"version_id": version_id, "percentage": 100}]}
        self._result(replace(self._script_call("POST", script, "/deployments"), body=body))

    def remove_script(self, script: str) -> None:
        """Removes a Worker, unless it is gone already."""
        self._answer(self._script_call("DELETE", script, ""), (404,))

    def worker_domain(self, hostname: str) -> LiveWorkerDomain | None:
        """Finds the custom domain of a Worker, whichever it is."""
        call = replace(self._domains_call("GET", hostname), query={"hostname": hostname})
        found = parse_worker_domains(self._result(call), call.what)
        # Compared here too, in case the filter finds more than the exact name.
        return next((one for one in found if one.hostname == hostname), None)

    def attach_domain(self, hostname: str, body: Mapping[str, Any]) -> bool:
        """Gives a Worker a custom domain. Returns False as long as the hostname has DNS records of something else."""
        call = self._domains_call("PUT", hostname, body=body)
        answer = self._answer(call, (409,))
        if answer.status == 409 and _HAS_RECORDS not in answer.codes:
            raise self._refused(call, answer)
        return answer.is_success

    def detach_domain(self, hostname: str, domain_id: str) -> None:
        """Takes a custom domain from a Worker, with its DNS record, unless it is gone already."""
        self._answer(self._domains_call("DELETE", hostname, f"/{quote(domain_id, safe='')}"), (404,))

    def secrets(self, script: str) -> frozenset[str]:
        """Lists the names of a Worker's secrets."""
        call = self._script_call("GET", script, "/secrets")
        answer = self._answer(call, (404,))
        if answer.status == 404:
            raise EdgeError(call.what, "does not exist; run `r2mirror edge apply` first, with `worker: true`")
        found = answer.result if isinstance(answer.result, list) else []
        return frozenset(one["name"] for one in found if isinstance(one, dict) and isinstance(one.get("name"), str))

    def set_secret(self, script: str, name: str, text: str) -> None:
        """Sets a secret of a Worker, which is deployed with it at once."""
        body = {"name": name, "text": text, "type": "secret_text"}
        self._result(replace(self._script_call("PUT", script, "/secrets"), body=body))

    def remove_secret(self, script: str, name: str) -> None:
        """Removes a secret, unless it is gone already."""
        self._answer(self._script_call("DELETE", script, f"/secrets/{quote(name, safe='')}"), (404,))

    def _domains_call(self, method: str, hostname: str, path: str = "", body: Mapping[str, Any] | None = None) -> _Call:
        place = f"/accounts/{self.account_id}/workers/domains{path}"
        return _Call(method, place, f"the Worker's domain {hostname}", WORKERS_EDIT, body)

    def _script_call(self, method: str, script: str, path: str) -> _Call:
        full = f"/accounts/{self.account_id}/workers/scripts/{quote(script, safe='')}{path}"
        return _Call(method, full, f"Worker {script}", WORKERS_EDIT)

    def _routes_call(self, method: str, zone: Zone, path: str = "", body: Mapping[str, Any] | None = None) -> _Call:
        full = f"/zones/{quote(zone.id, safe='')}/workers/routes{path}"
        return _Call(method, full, f"the Workers routes of zone {zone.name}", ROUTES_EDIT, body)

    def _bucket_path(self, bucket: str) -> str:
        return f"/accounts/{self.account_id}/r2/buckets/{quote(bucket, safe='')}"

    def _rules_call(
        self, method: str, zone: Zone, phase: Phase, path: str, body: Mapping[str, Any] | None = None
    ) -> _Call:
        full = f"/zones/{quote(zone.id, safe='')}/rulesets{f'/{path}' if path else ''}"
        return _Call(method, full, f"the {phase} rules of zone {zone.name}", PHASE_EDIT[phase], body)

    def _result(self, call: _Call) -> Any:
        return self._answer(call, ()).result

    def _answer(self, call: _Call, expected: tuple[int, ...]) -> _Envelope:
        """Sends a call, with retries. Raises for a status that is neither a success nor `expected`."""
        try:
            answer = self._retry(partial(self._once, call))
        except (Unavailable, *NOT_ANSWERED) as error:
            why = f"Cloudflare's API {_failure(error)}{attempts(error)}; retry later"
            raise EdgeUnreachable(call.what, why) from None
        except Unreachable as error:
            raise EdgeUnreachable(call.what, str(error)) from None
        except BadAnswer as error:
            raise EdgeError(call.what, f"{error.what}: {error.why}") from None
        if answer.is_success or answer.status in expected:
            return answer
        raise self._refused(call, answer)

    def _once(self, call: _Call) -> _Envelope:
        try:
            return self._sent(call)
        except (Unavailable, *NOT_ANSWERED) as error:
            if call.may_be_repeated or _is_not_done(error):
                raise
            why = f"Cloudflare's API {_failure(error)}, and may have applied it; `r2mirror edge plan` shows whether"
            raise EdgeUnreachable(call.what, why) from None

    def _sent(self, call: _Call) -> _Envelope:
        headers = {"Authorization": f"Bearer {self._token.value}"}
        # Without this header, buckets in a jurisdiction are not found, and new ones are created outside of it.
        if "/r2/" in call.path:
            headers |= self._jurisdiction
        url = f"{self._base_url}{call.path}"
        with self._client.stream(
            call.method, url, params=call.query, json=call.body, files=call.parts, headers=headers
        ) as response:
            level = logging.DEBUG if call.method == "GET" else logging.INFO
            logger.log(level, "%s %s: %d", call.method, call.path, response.status_code)
            if is_temporary(response.status_code):
                raise unavailable(response)
            body = read_bounded(response, MAX_BODY, "Cloudflare's API")
        return self._parse(call, response.status_code, body)

    def _parse(self, call: _Call, status: int, body: bytes) -> _Envelope:
        if status == HTTPStatus.NO_CONTENT:
            return _Envelope(status, None, ())
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        match document:
            case {"success": bool(success), "errors": list(errors)}:
                answer = _Envelope(status, document.get("result"), tuple(self._error(one) for one in errors))
                if success is not answer.is_success:
                    raise EdgeError(call.what, f"Cloudflare answered {status} and success: {str(success).lower()}")
                return answer
            case _:
                raise EdgeError(
                    call.what,
                    f"expected Cloudflare's API, but got {status} with other content; "
                    "check that no proxy or portal intercepts requests",
                )

    def _error(self, error: Any) -> tuple[int, str]:
        """Parses a code and a message, shortened, with the token masked."""
        code = error.get("code") if isinstance(error, dict) else None
        message = error.get("message") if isinstance(error, dict) else None
        words = str(message or "no reason given").replace(self._token.value, "(the token)")
        return (code if type(code) is int else 0, words[:300])

    def _refused(self, call: _Call, answer: _Envelope) -> EdgeError:
        why = "; ".join(f"{message} (code {code})" for code, message in answer.errors[:5]) or "no reason given"
        found = f"Cloudflare answered {answer.status}: {why}"
        if _OTHER_SECRETS in answer.codes:
            return EdgeError(call.what, f"{found}. {_OTHER_SECRETS_ADVICE}")
        if answer.status in (401, 403):
            return EdgeDenied(call.what, f"{found}. The token lacks the permission {call.needs}; add it (docs/edge.md)")
        return EdgeError(call.what, f"{found}. {_ADVICE[call.method]}")


_ADVICE = {
    "GET": "Check the names in mirrors.yaml",
    "POST": "Nothing was added; fix the cause, or do this step in the dashboard, then run it again",
    "PUT": "Nothing was changed; fix the cause, then run it again",
    "PATCH": "Nothing was changed; fix the cause, then run it again",
    "DELETE": "Nothing was removed; run it again",
}
_OTHER_SECRETS_ADVICE = (
    "Nothing was changed: tokens that were revoked since would be valid again. Run `edge apply` with the earlier "
    "release of r2mirror, or with the earlier mirrors.yaml: it keeps the tokens of today"
)


def _is_not_done(error: Exception) -> bool:
    """Whether a call that failed had no effect: it was rate limited, or never arrived."""
    if isinstance(error, Unavailable):
        return error.is_limit
    return fault(error) in (Fault.CONNECT, Fault.UNTRUSTED, Fault.SPEAKS_HTTP)


def _failure(error: Exception) -> str:
    if isinstance(error, Unavailable):
        return "keeps rate limiting us (429)" if error.is_limit else f"answered {error.status}"
    kind = type(error).__name__
    return f"cannot be reached ({kind})" if _is_not_done(error) else f"closed the connection ({kind})"
