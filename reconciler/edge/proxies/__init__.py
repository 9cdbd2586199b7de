"""Writes the edge's rules as the configuration of a reverse proxy, for a bucket that is not behind Cloudflare. Pure.

A new proxy is a module with one function, and a row in `PROXIES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from reconciler.edge.config import EdgeConfig
from reconciler.edge.proxies.caddy import caddy
from reconciler.edge.proxies.nginx import nginx
from reconciler.edge.rules import edge_rules

if TYPE_CHECKING:
    from reconciler.edge.proxies.site import Site
    from reconciler.edge.rules import Rule

Proxy: TypeAlias = "Callable[[Sequence[Rule], Site], str]"

PROXIES: Mapping[str, Proxy] = {"nginx": nginx, "caddy": caddy}


def configuration(proxy: str, site: Site) -> str:
    """Writes the configuration of a proxy, which is a name in `PROXIES`."""
    # There is no zone; the rules name the host alone.
    return PROXIES[proxy](edge_rules(EdgeConfig("", site.public.host, cache=bool(site.cache))), site)
