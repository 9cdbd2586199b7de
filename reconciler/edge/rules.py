"""Defines the rules that make a bucket's custom domain a registry, for the zone, the docs and the tests. Pure.

Expressions are in Cloudflare's Rules language, limited to the Free plan: no regular expressions. They read
`http.request.uri.path`, the path that R2 receives (rewritten, percent-encoding kept). No rule depends on its place
among the others, because other rules of the zone can come between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from reconciler.frozen import Frozen
from reconciler.target.layout import PAGE, PING

if TYPE_CHECKING:
    from reconciler.edge.config import EdgeConfig


class Phase(StrEnum):
    """The phases of a request in which our rules run. A zone has one ruleset for each."""

    REWRITE = "http_request_transform"
    CACHE = "http_request_cache_settings"
    RESPONSE = "http_response_headers_transform"


class Rule(Frozen):
    """A rule. `ref` identifies it in the zone; `parameters` are the action's, as the API spells them."""

    phase: Phase
    ref: str
    description: str
    expression: str
    action: str
    parameters: Mapping[str, Any] = field(hash=False)

    def body(self) -> dict[str, Any]:
        """Spells the whole rule for the Rulesets API, for a PATCH as well, which replaces every field."""
        return {
            "ref": self.ref,
            "description": self.description,
            "expression": self.expression,
            "action": self.action,
            "action_parameters": dict(self.parameters),
            "enabled": True,
        }


PREFIX = "r2mirror_"
_PATH = "http.request.uri.path"
# For `substring`: without regular expressions, a digest can only be taken from the end of a path by its length.
_DIGEST_LENGTHS = {"sha256": len("sha256:") + 64, "sha512": len("sha512:") + 128}
_CACHED = {
    "cache": True,
    # The object's own Cache-Control says a year. Errors are not cached: the digest may be uploaded a moment later.
    "edge_ttl": {
        "mode": "respect_origin",
        "status_code_ttl": [{"status_code_range": {"from": 400, "to": 599}, "value": -1}],
    },
    "browser_ttl": {"mode": "respect_origin"},
    # Clients of a mirror add ?ns=docker.io, which R2 ignores.
    "cache_key": {"custom_key": {"query_string": {"exclude": {"all": True}}}},
}


def ref_prefix(hostname: str) -> str:
    """The prefix of the refs of a hostname's rules, which keeps several hostnames in one zone apart."""
    return f"{PREFIX}{hashlib.sha256(hostname.encode()).hexdigest()[:8]}_"


def edge_rules(edge: EdgeConfig) -> tuple[Rule, ...]:
    """Lists all rules that r2mirror wants in the zone for this edge's hostname."""
    host = f'http.host eq "{edge.hostname}"'
    registry = f'{host} and starts_with({_PATH}, "/v2/")'
    return (*_rewrite_rules(edge, host), *_header_rules(edge, host, registry), *_cache_rules(edge, registry))


def _rewrite_rules(edge: EdgeConfig, host: str) -> Iterator[Rule]:
    # A key that ends with a slash does not work reliably, and R2 has no index documents.
    ping = f'{host} and {_PATH} in {{"/v2" "/v2/"}}'
    yield _rule(edge, Phase.REWRITE, "ping", "/v2/ answers 200", ping, {"uri": {"path": {"value": f"/{PING}"}}})
    page = f'{host} and {_PATH} eq "/"'
    yield _rule(
        edge, Phase.REWRITE, "page", "the catalog page for people", page, {"uri": {"path": {"value": f"/{PAGE}"}}}
    )


def _header_rules(edge: EdgeConfig, host: str, registry: str) -> Iterator[Rule]:
    yield _header(edge, "api_version", "a header that old clients check", registry, _set("registry/2.0"), _API_VERSION)
    for algorithm, length in _DIGEST_LENGTHS.items():
        words = f"the digest of content requested by {algorithm}"
        # Only for 200: the digest in a path of an error page would be wrong for its body.
        found = f"{host} and http.response.code eq 200 and ({_is_digest(algorithm)})"
        digest = {"operation": "set", "expression": f"substring({_PATH}, -{length})"}
        yield _header(edge, algorithm, words, found, digest, "Docker-Content-Digest")
    if edge.digest_by_tag:
        yield _tag_rule(edge, registry)
    words = "digests are of bytes as they are stored"
    content = f'{registry} and ({_PATH} contains "/manifests/" or {_PATH} contains "/blobs/")'
    yield _header(edge, "identity", words, content, {"operation": "remove"}, "Content-Encoding")


_API_VERSION = "Docker-Distribution-API-Version"
# A header that R2 stores with an object and sends back, and that has no other use in a registry.
_LANGUAGE = 'http.response.headers["content-language"][0]'


def _tag_rule(edge: EdgeConfig, registry: str) -> Rule:
    """Moves the digest that `target.digest_by_tag` stores with a tag to where clients look for it."""
    stored = f'http.response.code eq 200 and starts_with({_LANGUAGE}, "sha256:")'
    expression = f'{registry} and {_PATH} contains "/manifests/" and not ({_any_digest()}) and {stored}'
    headers = {
        "Docker-Content-Digest": {"operation": "set", "expression": _LANGUAGE},
        "Content-Language": {"operation": "remove"},
    }
    return _rule(edge, Phase.RESPONSE, "tag", "the digest of a tag", expression, {"headers": headers})


def _cache_rules(edge: EdgeConfig, registry: str) -> list[Rule]:
    """Caches digest paths, and nothing else of the registry: not even a tag that looks like a file, e.g. `1.0.tar`."""
    mutable = f"{registry} and not ({_any_digest()})" if edge.cache else registry
    rules = [_rule(edge, Phase.CACHE, "fresh", "tags and lists are never cached", mutable, {"cache": False})]
    if edge.cache:
        cached = f"{registry} and ({_any_digest()})"
        rules.append(_rule(edge, Phase.CACHE, "forever", "a digest's content never changes", cached, _CACHED))
    return rules


def _is_digest(algorithm: str) -> str:
    """Matches the paths of digests. No tag has a colon, and no repository a component `manifests` or `blobs`."""
    return " or ".join(f'{_PATH} contains "/{kind}/{algorithm}:"' for kind in ("manifests", "blobs"))


def _any_digest() -> str:
    return " or ".join(map(_is_digest, _DIGEST_LENGTHS))


def _set(value: str) -> dict[str, str]:
    return {"operation": "set", "value": value}


def _header(
    edge: EdgeConfig, name: str, words: str, expression: str, operation: Mapping[str, str], header: str
) -> Rule:
    return _rule(edge, Phase.RESPONSE, name, words, expression, {"headers": {header: operation}})


def _rule(
    edge: EdgeConfig, phase: Phase, name: str, words: str, expression: str, parameters: Mapping[str, Any]
) -> Rule:
    action = "set_cache_settings" if phase is Phase.CACHE else "rewrite"
    ref = f"{ref_prefix(edge.hostname)}{name}"
    return Rule(phase, ref, f"r2mirror {edge.hostname}: {words}", f"({expression})", action, parameters)
