"""Writes rules as a site of nginx: one `map` for each condition, and a server that reads the bucket. Pure.

nginx evaluates a `map` when its variable is read, so those for the response may read the response's status and headers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, assert_never

from reconciler.edge import language
from reconciler.edge.rules import Phase

if TYPE_CHECKING:
    from reconciler.edge.proxies.site import Site
    from reconciler.edge.rules import Rule

_SITE = """\
# {public} as a registry, from the bucket {bucket}.
# Written by `r2mirror edge print nginx`. Save it where nginx includes it within `http`, e.g. as
# /etc/nginx/conf.d/r2mirror.conf. The bucket has to be readable without a login from here.
{cache}upstream {name}_bucket {{
  server {upstream};
  keepalive 16;
}}
# The path as the client sent it.
map $request_uri ${name}_asked {{ "~^(?<{name}_sent>[^?]*)" ${name}_sent; }}
{maps}
server {{
  listen {listen};
  server_name {host};
{tls}  location / {{
    limit_except GET HEAD {{ deny all; }}
    # Digests are of bytes as they are stored, and layers are too large for temporary files.
    gzip off;
    proxy_max_temp_file_size 0;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host {bucket_host};
{upstream_tls}    # Without the query, which would be a request of the S3 API.
    proxy_pass {scheme}://{name}_bucket{path}${name}_path;
{directives}
  }}
}}
"""
_TLS = """\
  # The certificate and its key.
  ssl_certificate /etc/letsencrypt/live/{host}/fullchain.pem;
  ssl_certificate_key /etc/letsencrypt/live/{host}/privkey.pem;
"""
_UPSTREAM_TLS = """\
    proxy_ssl_server_name on;
    proxy_ssl_name {host};
    proxy_ssl_verify on;
    proxy_ssl_trusted_certificate /etc/ssl/certs/ca-certificates.crt;
"""


@dataclass
class _Program:
    """The `map` blocks so far, each with a variable of its own."""

    name: str
    maps: list[str] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)

    def explain(self, rule: Rule) -> None:
        self.maps.append(f"# {rule.description}")

    def add(self, source: str, cases: Mapping[str, str], default: str) -> str:
        """Returns a variable whose value depends on that of `source`."""
        rows = "".join(f' "{key}" {value};' for key, value in cases.items())
        block = f"{{{rows} default {default}; }}"
        variable = self.known.setdefault(f"{source} {block}", f"${self.name}_{len(self.known)}")
        line = f"map {source} {variable} {block}"
        if line not in self.maps:
            self.maps.append(line)
        return variable

    def condition(self, condition: language.Condition, fields: Mapping[str, str]) -> str:
        """Returns a variable that is 1 if the condition holds, and 0 otherwise."""
        match condition:
            case language.All(parts):
                inner = [self.condition(part, fields) for part in parts]
                return self.add(f'"{"".join(inner)}"', {"1" * len(inner): "1"}, "0")
            case language.Any((language.Compare(operator, asked, _), *_) as parts) if _is_choice(parts):
                literals = [literal for part in parts for literal in getattr(part, "literals", ())]
                return self.condition(language.Compare(operator, asked, tuple(literals)), fields)
            case language.Any(parts):
                inner = [self.condition(part, fields) for part in parts]
                return self.add(f'"{"".join(inner)}"', {"~1": "1"}, "0")
            case language.Not(part):
                return self.add(self.condition(part, fields), {"1": "0"}, "1")
            case language.Compare(operator, asked, literals):
                # As regular expressions, because nginx compares plain texts without regard to case.
                choice = "|".join(map(re.escape, literals))
                pattern = {"contains": f"~({choice})", "starts_with": f"~^({choice})"}.get(operator, f"~^({choice})$")
                return self.add(_variable(asked, fields), {pattern: "1"}, "0")
            case _:
                assert_never(condition)

    def value(self, value: language.Value, fields: Mapping[str, str]) -> str:
        if isinstance(value, language.Field):
            return _variable(value, fields)
        end = f"{self.name}_last_{value.length}"
        return self.add(_variable(value.field, fields), {f"~(?<{end}>.{{{value.length}}})$": f"${end}"}, '""')


def nginx(rules: Sequence[Rule], site: Site) -> str:
    """Writes a file for nginx's `http` block."""
    # All sites of one nginx share the names of variables, and a name within a regular expression may have 32 letters.
    name = f"r2mirror_{hashlib.sha256(site.public.host_and_port.encode()).hexdigest()[:8]}"
    program = _Program(name)
    fields = {"http.host": "$host", "http.request.uri.path": f"${name}_asked"}
    _rewrite(program, rules, fields)
    fields |= {"http.request.uri.path": f"${name}_path", "http.response.code": "$status"}
    directives = [*_headers(program, rules, fields), *_caching(program, rules, fields, name)]
    public, bucket = site.public, site.bucket
    return _SITE.format(
        public=public,
        bucket=site.bucket_url,
        name=name,
        cache=f"proxy_cache_path {site.cache} keys_zone={name}:10m max_size=10g inactive=30d;\n" if site.cache else "",
        upstream=f"{bucket.host}:{bucket.port}",
        maps="\n".join(program.maps),
        listen=(f"{public.host}:" if public.is_ip else "") + f"{public.port}" + (" ssl" if public.is_tls else ""),
        host=public.host,
        tls=_TLS.format(host=public.host) if public.is_tls else "",
        bucket_host=bucket.host_and_port,
        upstream_tls=_UPSTREAM_TLS.format(host=bucket.host) if bucket.is_tls else "",
        scheme=bucket.scheme,
        path=site.path,
        directives="\n".join(f"    {line}" for line in directives),
    )


def _is_choice(parts: Sequence[language.Condition]) -> bool:
    """Whether all compare one field in one way, which takes a single regular expression."""
    kinds = {(part.operator, part.field) for part in parts if isinstance(part, language.Compare)}
    return len(kinds) == 1 and all(isinstance(part, language.Compare) for part in parts)


def _rewrite(program: _Program, rules: Sequence[Rule], fields: Mapping[str, str]) -> None:
    """Adds the variable with the path that the bucket receives."""
    path = fields["http.request.uri.path"]
    for rule in rules:
        if rule.phase is Phase.REWRITE:
            matches = _matches(program, rule, fields)
            path = program.add(matches, {"1": rule.parameters["uri"]["path"]["value"]}, path)
    program.maps.append(f"map $request_uri ${program.name}_path {{ default {path}; }}")


def _headers(program: _Program, rules: Sequence[Rule], fields: Mapping[str, str]) -> list[str]:
    headers: dict[str, str] = {}
    for rule in rules:
        if rule.phase is Phase.RESPONSE:
            matches = _matches(program, rule, fields)
            for header, operation in rule.parameters["headers"].items():
                before = headers.get(header, _stored(header))
                headers[header] = program.add(matches, {"1": _outcome(program, operation, fields)}, before)
    # nginx leaves out a header whose value is empty.
    return [
        line
        for header, value in headers.items()
        for line in (f"proxy_hide_header {header};", f"add_header {header} {value} always;")
    ]


def _caching(program: _Program, rules: Sequence[Rule], fields: Mapping[str, str], zone: str) -> list[str]:
    if not any(rule.parameters.get("cache") for rule in rules):
        return []
    cached = '"0"'
    for rule in rules:
        if rule.phase is Phase.CACHE:
            cached = program.add(_matches(program, rule, fields), {"1": str(int(rule.parameters["cache"]))}, cached)
    skipped = program.add(cached, {"1": "0"}, "1")
    return [
        f"proxy_cache {zone};",
        "proxy_cache_convert_head off;",
        f'proxy_cache_key "$request_method $host ${program.name}_path";',
        f"proxy_cache_bypass {skipped};",
        f"proxy_no_cache {skipped};",
        "add_header X-Cache-Status $upstream_cache_status always;",
    ]


def _matches(program: _Program, rule: Rule, fields: Mapping[str, str]) -> str:
    program.explain(rule)
    return program.condition(language.parse_condition(rule.expression), fields)


def _variable(asked: language.Field, fields: Mapping[str, str]) -> str:
    return _stored(asked.header) if asked.header else fields[asked.name]


def _stored(header: str) -> str:
    """The variable with a header as the bucket sent it."""
    return f"$upstream_http_{header.lower().replace('-', '_')}"


def _outcome(program: _Program, operation: Mapping[str, Any], fields: Mapping[str, str]) -> str:
    match operation:
        case {"operation": "remove"}:
            return '""'
        case {"operation": "set", "value": str(value)}:
            return f'"{value}"'
        case {"operation": "set", "expression": str(expression)}:
            return program.value(language.parse_value(expression), fields)
        case _:
            raise ValueError(f"not an operation that the rules use: {operation}")
