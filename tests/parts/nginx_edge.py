"""Cloudflare's edge in front of a public bucket, played by nginx: read-only, generated from the edge's own rules."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from reconciler.edge.config import EdgeConfig
from reconciler.edge.rules import Phase, edge_rules
from tests.parts import rules_language as language
from tests.parts.docker_registry import Request, parse_access_log
from tests.parts.process import find_program, free_port, running

if TYPE_CHECKING:
    from reconciler.edge.rules import Rule

HOST = "127.0.0.1"
NO_CACHE = edge_rules(EdgeConfig("example.com", HOST, cache=False))
"""The rules of an edge that asks the bucket each time, so that a test sees at once what it changed there."""

_CONFIG = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/client;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  proxy_cache_path {folder}/cache keys_zone=edge:1m;
  map_hash_bucket_size 256;
  variables_hash_max_size 2048;
  map $request_uri $asked {{ "~^(?<asked_path>[^?]*)" $asked_path; }}
{maps}
  server {{
    listen {host};
    location = /ready {{ access_log off; return 204; }}
    location / {{
      limit_except GET HEAD {{ deny all; }}
      proxy_pass {bucket_url}$path;
{directives}
    }}
  }}
}}
"""


@dataclass
class _Program:
    """nginx's `map` blocks for a list of rules, each with a variable of its own."""

    maps: list[str] = field(default_factory=list)

    def add(self, source: str, cases: Mapping[str, str], default: str) -> str:
        """A variable whose value depends on that of `source`."""
        name = f"$edge{len(self.maps)}"
        rows = "".join(f' "{key}" {value};' for key, value in cases.items())
        self.maps.append(f"  map {source} {name} {{{rows} default {default}; }}")
        return name

    def condition(self, condition: language.Condition, fields: Mapping[str, str]) -> str:
        """A variable that is 1 where the condition holds, else 0."""
        match condition:
            case language.All(parts):
                inner = [self.condition(part, fields) for part in parts]
                return self.add(f'"{"".join(inner)}"', {"1" * len(inner): "1"}, "0")
            case language.Any(parts):
                inner = [self.condition(part, fields) for part in parts]
                return self.add(f'"{"".join(inner)}"', {"~1": "1"}, "0")
            case language.Not(part):
                return self.add(self.condition(part, fields), {"1": "0"}, "1")
            case language.Compare(operator, asked, literals):
                # As regular expressions, for nginx compares plain texts without regard to case.
                choice = "|".join(map(re.escape, literals))
                pattern = {"contains": f"~({choice})", "starts_with": f"~^({choice})"}.get(operator, f"~^({choice})$")
                return self.add(fields[asked.name], {pattern: "1"}, "0")
            case _:
                assert_never(condition)

    def value(self, value: language.Value, fields: Mapping[str, str]) -> str:
        if isinstance(value, language.Field):
            return fields[value.name]
        capture = f"end{len(self.maps)}"
        return self.add(fields[value.field.name], {f"~(?<{capture}>.{{{value.length}}})$": f"${capture}"}, '""')


def _compile(rules: Sequence[Rule]) -> tuple[str, str]:
    """The `map` blocks and the directives of the location that do what the rules say."""
    program = _Program()
    fields = {"http.host": "$host", "http.request.uri.path": "$asked"}
    path, cached = "$asked", '"0"'
    headers: dict[str, str] = {}
    for rule in rules:
        if rule.phase is Phase.REWRITE:
            matches = program.condition(language.parse_condition(rule.expression), fields)
            path = program.add(matches, {"1": rule.parameters["uri"]["path"]["value"]}, path)
    program.maps.append(f"  map $asked $path {{ default {path}; }}")
    fields |= {"http.request.uri.path": "$path", "http.response.code": "$status"}
    fields |= {"header content-language": _stored("Content-Language")}
    for rule in rules:
        matches = program.condition(language.parse_condition(rule.expression), fields)
        if rule.phase is Phase.CACHE:
            cached = program.add(matches, {"1": "1" if rule.parameters["cache"] else "0"}, cached)
        elif rule.phase is Phase.RESPONSE:
            for name, operation in rule.parameters["headers"].items():
                before = headers.get(name, _stored(name))
                headers[name] = program.add(matches, {"1": _outcome(program, operation, fields)}, before)
    directives = [line for name, value in headers.items() for line in _header(name, value)]
    if any(rule.parameters.get("cache") for rule in rules):
        skipped = program.add(cached, {"1": "0"}, "1")
        directives += [
            "proxy_cache edge;",
            "proxy_cache_convert_head off;",
            'proxy_cache_key "$request_method $path";',
            f"proxy_cache_bypass {skipped};",
            f"proxy_no_cache {skipped};",
            "add_header cf-cache-status $upstream_cache_status always;",
        ]
    return "\n".join(program.maps), "\n".join(f"      {line}" for line in directives)


def _stored(name: str) -> str:
    """The variable with the header as the bucket sent it."""
    return f"$upstream_http_{name.lower().replace('-', '_')}"


def _outcome(program: _Program, operation: Mapping[str, Any], fields: Mapping[str, str]) -> str:
    match operation:
        case {"operation": "remove"}:
            return '""'
        case {"operation": "set", "value": str(value)}:
            return f'"{value}"'
        case {"operation": "set", "expression": str(expression)}:
            return program.value(language.parse_value(expression), fields)
        case _:
            raise ValueError(f"no operation that rules of ours use: {operation}")


def _header(name: str, value: str) -> tuple[str, str]:
    """nginx leaves out a header whose value is empty."""
    return f"proxy_hide_header {name};", f"add_header {name} {value} always;"


@dataclass(frozen=True)
class Edge:
    """A running edge: what clients pull from."""

    host: str
    access_log: Path

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def requests(self) -> list[Request]:
        """Every request so far, oldest first, with the path that the client sent."""
        return parse_access_log(self.access_log.read_text())


@contextlib.contextmanager
def start_nginx_edge(folder: Path, bucket_url: str, rules: Sequence[Rule] = NO_CACHE) -> Iterator[Edge]:
    """Runs an edge in front of `bucket_url`, which serves `KEY` as `bucket_url/KEY` to anybody."""
    nginx = find_program("nginx", "apt-get install nginx")
    folder.mkdir(parents=True, exist_ok=True)
    edge = Edge(f"{HOST}:{free_port()}", folder / "access.log")
    config = folder / "nginx.conf"
    maps, directives = _compile(rules)
    config.write_text(
        _CONFIG.format(folder=folder, host=edge.host, bucket_url=bucket_url, maps=maps, directives=directives)
    )
    with running([nginx, "-p", str(folder), "-c", str(config)], folder / "log", f"{edge.url}/ready", ready=(204,)):
        yield edge
