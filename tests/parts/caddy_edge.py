"""The edge in front of a public bucket, played by Caddy as `r2mirror edge print` configures it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.edge.proxies.caddy import caddy
from reconciler.edge.proxies.site import make_site
from tests.parts.nginx_edge import NO_CACHE, Edge, listens_at, new_edge
from tests.parts.process import find_program, started

if TYPE_CHECKING:
    from reconciler.edge.rules import Rule

_GLOBAL = """\
{{
	admin off
	auto_https off
	storage file_system {folder}/storage
}}
import {folder}/site
"""


@contextlib.contextmanager
def start_caddy_edge(folder: Path, bucket_url: str, rules: Sequence[Rule] = NO_CACHE) -> Iterator[Edge]:
    """Runs an edge in front of `bucket_url`, as nginx's; it never caches, and has no log of requests."""
    program = find_program("caddy", "apt-get install caddy")
    edge = new_edge(folder)
    (folder / "site").write_text(caddy(rules, make_site(edge.url, bucket_url)))
    config = folder / "Caddyfile"
    config.write_text(_GLOBAL.format(folder=folder))
    command = [program, "run", "--adapter", "caddyfile", "--config", str(config)]
    with started(command, folder / "log", listens_at(edge.host), {"HOME": str(folder)}):
        yield edge
