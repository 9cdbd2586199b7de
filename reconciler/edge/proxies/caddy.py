"""Writes rules as a site of Caddy: a matcher for each condition, as an expression in CEL, and a reverse proxy. Pure.

Caddy has no cache, so what the rules say about one does not appear; clients read the objects' own Cache-Control.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, assert_never

from reconciler.edge import language
from reconciler.edge.rules import Phase
from reconciler.errors import UsageError

if TYPE_CHECKING:
    from reconciler.edge.proxies.site import Site
    from reconciler.edge.rules import Rule

_SITE = """\
# {public} as a registry, from the bucket {bucket}.
# Written by `r2mirror edge print caddy` for Caddy 2.5 or newer. Save it as /etc/caddy/Caddyfile, or import it there.
# The bucket has to be readable without a login from here.
{public} {{
{bind}	route {{
		@write not method GET HEAD
		respond @write 403
		# No key has such a path, and the server of the bucket may take it for another bucket's.
		@above expression `{{http.request.uri.path}}.matches("(^|/)[.][.]?(/|$)")`
		respond @above 404

		# The path as the client sent it.
		map {{http.request.uri}} {{r2mirror_sent}} {{
			~^([^?]*) "${{1}}"
		}}
		vars path {{r2mirror_sent}}
		# Without the query, which would be a request of the S3 API. The first rewrite that matches is the only one.
{rewrites}
		rewrite * ?
{values}
{prefix}		reverse_proxy {bucket_address} {{
			header_up Host {bucket_host}
			# Digests are of bytes as they are stored.
			transport http {{
				compression off
			}}
			handle_response {{
{headers}
				copy_response
			}}
		}}
	}}
}}
"""
_FIELDS = {
    "http.host": "http.request.host",
    "http.request.uri.path": "http.vars.path",
    "http.response.code": "http.reverse_proxy.status_code",
}


def caddy(rules: Sequence[Rule], site: Site) -> str:
    """Writes a Caddyfile with one site. Raises `UsageError` if it would need a cache."""
    if site.cache:
        raise UsageError("Caddy has no cache of its own; print it without --cache, or print nginx")
    responses = [(name, rule) for name, rule in _named(rules) if rule.phase is Phase.RESPONSE]
    return _SITE.format(
        public=site.public,
        bucket=site.bucket_url,
        bind=f"\tbind {site.public.host}\n" if site.public.is_ip else "",
        prefix=f"\t\turi replace / {site.path}/ 1\n" if site.path else "",
        bucket_address=f"{site.bucket.scheme}://{site.bucket.host}:{site.bucket.port}",
        bucket_host=site.bucket.host_and_port,
        rewrites="\n".join(line for name, rule in _named(rules) for line in _rewrite(name, rule)),
        values="\n".join(line for name, rule in responses for line in _values(name, rule)),
        headers="\n".join(f"\t\t{line}" for name, rule in responses for line in _headers(name, rule)),
    )


def _named(rules: Sequence[Rule]) -> Iterator[tuple[str, Rule]]:
    """Each rule with the end of its `ref`, which is its name."""
    for rule in rules:
        yield rule.ref.split("_", 2)[2], rule


def _rewrite(name: str, rule: Rule) -> Iterator[str]:
    if rule.phase is Phase.REWRITE:
        yield from _matcher(name, rule)
        path = rule.parameters["uri"]["path"]["value"]
        yield f"\t\trewrite @{name} {path}?"
        yield f"\t\tvars @{name} path {path}"


def _matcher(name: str, rule: Rule) -> Iterator[str]:
    yield f"\t\t# {rule.description}"
    yield f"\t\t@{name} expression `{_condition(language.parse_condition(rule.expression))}`"


def _condition(condition: language.Condition) -> str:
    match condition:
        case language.All(parts):
            return " && ".join(f"({_condition(part)})" for part in parts)
        case language.Any(parts):
            return " || ".join(f"({_condition(part)})" for part in parts)
        case language.Not(part):
            return f"!({_condition(part)})"
        case language.Compare(operator, asked, literals):
            return _comparison(operator, asked, literals)
        case _:
            assert_never(condition)


def _comparison(operator: str, asked: language.Field, literals: tuple[str, ...]) -> str:
    placeholder = f"{{{_placeholder(asked)}}}"
    number = asked.name == "http.response.code"
    spelled = [literal if number else json.dumps(literal) for literal in literals]
    match operator:
        case "eq":
            return f"{placeholder} == {spelled[0]}"
        case "in":
            return f"{placeholder} in [{', '.join(spelled)}]"
        case _:
            function = {"contains": "contains", "starts_with": "startsWith"}[operator]
            # A header that the response lacks is null, which has no such function.
            present = f"{placeholder} != null && " if asked.header else ""
            return f"{present}{placeholder}.{function}({spelled[0]})"


def _placeholder(asked: language.Field) -> str:
    return f"http.reverse_proxy.header.{asked.header.title()}" if asked.header else _FIELDS[asked.name]


def _values(name: str, rule: Rule) -> Iterator[str]:
    """Ends of other values, which Caddy takes by a `map`."""
    for operation in rule.parameters["headers"].values():
        if "expression" in operation:
            value = language.parse_value(operation["expression"])
            if isinstance(value, language.Substring):
                yield f"\t\tmap {{{_placeholder(value.field)}}} {{r2mirror_{name}}} {{"
                yield f'\t\t\t~^.*(.{{{value.length}}})$ "${{1}}"'
                yield "\t\t}"


def _headers(name: str, rule: Rule) -> Iterator[str]:
    yield from _matcher(name, rule)
    yield f"\t\theader @{name} {{"
    for header, operation in rule.parameters["headers"].items():
        yield f"\t\t\t{_operation(name, header, operation)}"
    # After the bucket's headers are copied.
    yield "\t\t\tdefer"
    yield "\t\t}"


def _operation(name: str, header: str, operation: Mapping[str, Any]) -> str:
    match operation:
        case {"operation": "remove"}:
            return f"-{header}"
        case {"operation": "set", "value": str(value)}:
            return f'{header} "{value}"'
        case {"operation": "set", "expression": str(expression)}:
            found = language.parse_value(expression)
            taken = f"r2mirror_{name}" if isinstance(found, language.Substring) else _placeholder(found)
            return f"{header} {{{taken}}}"
        case _:
            raise ValueError(f"not an operation that the rules use: {operation}")
