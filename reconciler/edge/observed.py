"""What Cloudflare has, as values; its answers are parsed here and nowhere else.

Pure. The shapes are those of Cloudflare's published OpenAPI description (cloudflare/api-schemas): `zones_zone`,
`r2_get_custom_domain_response`, `rulesets_Ruleset`. What an answer has beyond what is read here is left alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reconciler.errors import EdgeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.edge.rules import Phase


@dataclass(frozen=True)
class Zone:
    id: str
    name: str
    account_id: str


@dataclass(frozen=True)
class Domain:
    """A bucket's custom domain. `ownership` and `ssl` are Cloudflare's words for how far it is."""

    hostname: str
    enabled: bool
    min_tls: str
    ownership: str
    ssl: str

    @property
    def is_connected(self) -> bool:
        """Whether requests for the hostname go to the bucket, and to nobody else's server."""
        return self.enabled and self.ownership == "active"

    @property
    def is_active(self) -> bool:
        return self.is_connected and self.ssl == "active"

    @property
    def is_stuck(self) -> bool:
        """Whether waiting does not help."""
        return self.ownership in ("blocked", "error") or self.ssl == "error"

    @property
    def progress(self) -> str:
        return f"ownership {self.ownership}, certificate {self.ssl}"


@dataclass(frozen=True)
class LiveRule:
    """A rule that is in a zone, anybody's; `body` is all of it as it came."""

    id: str
    ref: str
    body: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True)
class Ruleset:
    """A phase's rules in their order; `id` is None where the zone has no such ruleset yet."""

    phase: Phase
    id: str | None
    rules: tuple[LiveRule, ...]


@dataclass(frozen=True)
class Observed:
    """All of a zone and an account that concerns one edge.

    `buckets` are those of ours that are there, `domain` is None where the public one has none of that name.
    """

    zone: Zone
    buckets: frozenset[str]
    domain: Domain | None
    rulesets: Mapping[Phase, Ruleset] = field(hash=False)


def parse_zone(result: Any, what: str) -> Zone:
    """A zone. Raises `EdgeError` where it is none, as every function here does."""
    match result:
        case {"id": str(id), "name": str(name), "account": {"id": str(account_id)}} if _is_id(id):
            return Zone(id, name, account_id)
        case _:
            raise _odd(what, "a zone with its id, name and account")


def parse_zones(result: Any, what: str) -> tuple[Zone, ...]:
    if not isinstance(result, list):
        raise _odd(what, "a list of zones")
    return tuple(parse_zone(one, what) for one in result)


def parse_domain(result: Any, what: str) -> Domain:
    """A custom domain. Its `minTLS` is 1.0 where it is not said."""
    match result:
        case {
            "domain": str(hostname),
            "enabled": bool(enabled),
            "status": {"ownership": str(ownership), "ssl": str(ssl)},
        }:
            return Domain(hostname, enabled, str(result.get("minTLS") or "1.0"), ownership, ssl)
        case _:
            raise _odd(what, "a custom domain with its status")


def parse_domains(result: Any, what: str) -> tuple[Domain, ...]:
    match result:
        case {"domains": list(domains)}:
            return tuple(parse_domain(one, what) for one in domains)
        case _:
            raise _odd(what, "a list of custom domains")


def parse_ruleset(result: Any, phase: Phase, what: str) -> Ruleset:
    """A ruleset. An empty one may have no `rules`; the `ref` of a rule that was given none is its id."""
    match result:
        case {"id": str(id)} if _is_id(id) and isinstance(result.get("rules") or [], list):
            return Ruleset(phase, id, tuple(_parse_rule(one, what) for one in result.get("rules") or ()))
        case _:
            raise _odd(what, "a ruleset with its id and rules")


_ID = re.compile(r"[0-9A-Za-z_-]{1,100}")

MAX_DEPTH = 32
"""Levels of a rule; those of Cloudflare's own description have eight."""


def _parse_rule(result: Any, what: str) -> LiveRule:
    match result:
        case {"id": str(id)} if (
            _is_id(id) and isinstance(result.get("ref", id), str) and _is_shallow(result, MAX_DEPTH)
        ):
            return LiveRule(id, result.get("ref", id), result)
        case _:
            raise _odd(what, "a rule with its id")


def _is_id(text: str) -> bool:
    """Whether an id can be a part of a path, where `..` would be the path above, which quoting does not change."""
    return bool(_ID.fullmatch(text))


def _is_shallow(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_shallow(one, levels - 1) for one in inner)


def _odd(what: str, expected: str) -> EdgeError:
    return EdgeError(what, f"expected {expected}, but Cloudflare's answer is something else; nothing was changed by it")
