"""Parses Cloudflare's answers into what it has: zone, buckets, custom domain, rulesets. Pure.

The shapes are those of Cloudflare's published OpenAPI description (cloudflare/api-schemas): `zones_zone`,
`r2_get_custom_domain_response`, `rulesets_Ruleset`, and those of Workers' routes, deployments and versions. Other
fields of an answer are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from reconciler.errors import EdgeError
from reconciler.frozen import Frozen
from reconciler.regex import expression

if TYPE_CHECKING:
    from reconciler.edge.rules import Phase


class Zone(Frozen):
    id: str
    name: str
    account_id: str


class Domain(Frozen):
    """A bucket's custom domain. `ownership` and `ssl` are Cloudflare's words for its progress."""

    hostname: str
    enabled: bool
    min_tls: str
    ownership: str
    ssl: str

    @property
    def is_connected(self) -> bool:
        """Whether requests for the hostname reach the bucket, and not another server."""
        return self.enabled and self.ownership == "active"

    @property
    def is_active(self) -> bool:
        return self.is_connected and self.ssl == "active"

    @property
    def is_stuck(self) -> bool:
        """Whether waiting cannot help."""
        return self.ownership in ("blocked", "error") or self.ssl == "error"

    @property
    def progress(self) -> str:
        return f"ownership {self.ownership}, certificate {self.ssl}"


class LiveRule(Frozen):
    """A rule in a zone, ours or not; `body` is all of it as received."""

    id: str
    ref: str
    body: Mapping[str, Any] = field(hash=False)


class Ruleset(Frozen):
    """A phase's rules in order; `id` is None if the zone has no such ruleset yet."""

    phase: Phase
    id: str | None
    rules: tuple[LiveRule, ...]


class LiveVersion(Frozen):
    """A version of a Worker: its id at Cloudflare, and its bindings and compatibility date as the API spells them."""

    id: str
    compatibility_date: str
    bindings: tuple[Mapping[str, Any], ...] = field(hash=False)

    def variable(self, name: str) -> str | None:
        """Returns the value of a variable."""
        texts = (one.get("text") for one in self.bindings if one.get("name") == name)
        return next((text for text in texts if isinstance(text, str)), None)


class LiveRoute(Frozen):
    """A route of a zone; `script` is empty if no Worker runs on it."""

    id: str
    pattern: str
    script: str


class LiveWorkerDomain(Frozen):
    """A custom domain of a Worker, at which it answers by itself, without a bucket's domain; `script` is its Worker."""

    id: str
    hostname: str
    script: str


class LiveWorker(Frozen):
    """The Worker of an edge's hostname, and all routes of the zone.

    exists    whether there is a Worker of that name
    version   the one that answers; None if none does, or several do
    previous  the version that answered before, as far as is known
    domain    the custom domain of the hostname, of this or another Worker
    """

    exists: bool
    version: LiveVersion | None
    previous: LiveVersion | None
    routes: tuple[LiveRoute, ...]
    domain: LiveWorkerDomain | None = None


class Observed(Frozen):
    """Everything of a zone and an account that concerns one edge.

    buckets  those of ours that exist
    domain   None if the public bucket has no domain of that name
    worker   None if the token may not see Workers, which an edge without one does not need
    """

    zone: Zone
    buckets: frozenset[str]
    domain: Domain | None
    rulesets: Mapping[Phase, Ruleset] = field(hash=False)
    worker: LiveWorker | None = None


def parse_zone(result: Any, what: str) -> Zone:
    """Parses a zone. Raises `EdgeError` if it is malformed, as every function here does."""
    match result:
        case {"id": str(id), "name": str(name), "account": {"id": str(account_id)}} if _is_id(id):
            return Zone(id, name, account_id)
        case _:
            raise _unexpected(what, "a zone with its id, name and account")


def parse_zones(result: Any, what: str) -> tuple[Zone, ...]:
    if not isinstance(result, list):
        raise _unexpected(what, "a list of zones")
    return tuple(parse_zone(one, what) for one in result)


def parse_domain(result: Any, what: str) -> Domain:
    """Parses a custom domain. Its `minTLS` defaults to 1.0."""
    match result:
        case {
            "domain": str(hostname),
            "enabled": bool(enabled),
            "status": {"ownership": str(ownership), "ssl": str(ssl)},
        }:
            return Domain(hostname, enabled, str(result.get("minTLS") or "1.0"), ownership, ssl)
        case _:
            raise _unexpected(what, "a custom domain with its status")


def parse_domains(result: Any, what: str) -> tuple[Domain, ...]:
    match result:
        case {"domains": list(domains)}:
            return tuple(parse_domain(one, what) for one in domains)
        case _:
            raise _unexpected(what, "a list of custom domains")


def parse_managed_domain(result: Any, what: str) -> str | None:
    """Parses a bucket's `r2.dev` address; None if it is off."""
    match result:
        case {"domain": str(hostname), "enabled": bool(enabled)}:
            return hostname if enabled else None
        case _:
            raise _unexpected(what, "a managed domain")


def parse_ruleset(result: Any, phase: Phase, what: str) -> Ruleset:
    """Parses a ruleset. An empty one may lack `rules`; a rule without a `ref` has its id as `ref`."""
    match result:
        case {"id": str(id)} if _is_id(id) and isinstance(result.get("rules") or [], list):
            return Ruleset(phase, id, tuple(_parse_rule(one, what) for one in result.get("rules") or ()))
        case _:
            raise _unexpected(what, "a ruleset with its id and rules")


def parse_routes(result: Any, what: str) -> tuple[LiveRoute, ...]:
    if not isinstance(result, list):
        raise _unexpected(what, "a list of routes")
    return tuple(_parse_route(one, what) for one in result)


def _parse_route(result: Any, what: str) -> LiveRoute:
    match result:
        # A route on which no Worker runs has null, or nothing at all.
        case {"id": str(id), "pattern": str(pattern)} if _is_id(id) and isinstance(result.get("script") or "", str):
            return LiveRoute(id, pattern, result.get("script") or "")
        case _:
            raise _unexpected(what, "a route with its id and pattern")


def parse_worker_domains(result: Any, what: str) -> tuple[LiveWorkerDomain, ...]:
    if not isinstance(result, list):
        raise _unexpected(what, "a list of domains")
    return tuple(_parse_worker_domain(one, what) for one in result)


def _parse_worker_domain(result: Any, what: str) -> LiveWorkerDomain:
    match result:
        case {"id": str(id), "hostname": str(hostname), "service": str(script)} if _is_id(id):
            return LiveWorkerDomain(id, hostname, script)
        case _:
            raise _unexpected(what, "a domain with its id, hostname and service")


def parse_deployments(result: Any, what: str) -> tuple[tuple[str, ...], ...]:
    """Parses the deployments of a Worker, the current one first, into the ids of the versions that each runs."""
    match result:
        case {"deployments": list(deployments)}:
            return tuple(_parse_deployment(one, what) for one in deployments)
        case _:
            raise _unexpected(what, "a list of deployments")


def _parse_deployment(result: Any, what: str) -> tuple[str, ...]:
    ids = [one.get("version_id") for one in _objects(result, "versions")] if isinstance(result, dict) else []
    found = tuple(one for one in ids if isinstance(one, str) and _is_id(one))
    if not found or len(found) < len(ids):
        raise _unexpected(what, "a deployment with its versions")
    return found


def parse_version(result: Any, what: str) -> LiveVersion:
    match result:
        case {"id": str(id), "resources": dict(resources)} if _is_id(id):
            runtime = resources.get("script_runtime")
            date = runtime.get("compatibility_date") if isinstance(runtime, dict) else None
            return LiveVersion(id, date if isinstance(date, str) else "", tuple(_objects(resources, "bindings")))
        case _:
            raise _unexpected(what, "a version with its id and resources")


def _objects(result: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = result.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


_ID = expression(r"[0-9A-Za-z_-]{1,100}")

MAX_DEPTH = 32
"""The maximum nesting of a rule; those in Cloudflare's own description have eight levels."""


def _parse_rule(result: Any, what: str) -> LiveRule:
    match result:
        case {"id": str(id)} if (
            _is_id(id) and isinstance(result.get("ref", id), str) and _is_shallow(result, MAX_DEPTH)
        ):
            return LiveRule(id, result.get("ref", id), result)
        case _:
            raise _unexpected(what, "a rule with its id")


def _is_id(text: str) -> bool:
    """Whether an id is safe in a path."""
    # Quoting does not change `..`, which would lead to the path above.
    return bool(_ID.fullmatch(text))


def _is_shallow(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_shallow(one, levels - 1) for one in inner)


def _unexpected(what: str, expected: str) -> EdgeError:
    return EdgeError(what, f"expected {expected}, but Cloudflare answered something else; nothing was changed")
