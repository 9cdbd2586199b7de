"""k3s: registries.yaml (docs.k3s.io, private registry configuration), from which it writes containerd's hosts.toml.

A registry has one set of rewrites for all its endpoints, so only one prefix can be used. The registry's own endpoint is
always tried last, by https and without rewrites.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.clients import Client, ClientConfig, File
from reconciler.clients.public import impostor_notes, name_notes, pull_here, pulls_through, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.clients.public import Public
    from reconciler.clients.upstreams import Upstream


def k3s(public: Public) -> ClientConfig:
    lines = list(_lines(public))
    how = "Merge it with what is there, on every node; then: systemctl restart k3s (k3s-agent on agents)"
    content = "\n".join(("mirrors:", *lines, ""))
    return ClientConfig(
        Client.K3S,
        public.host,
        (File("/etc/rancher/k3s/registries.yaml", content, how),) if lines else (),
        (pull_here(public, "k3s crictl pull {}"), *pulls_through(public, "k3s crictl pull {}")),
        tuple(_notes(public)),
    )


def _lines(public: Public) -> Iterator[str]:
    if public.plain_http:
        yield from _endpoints(public.host, public.url)
    for upstream in public.upstreams:
        if upstream.usable:
            prefix = upstream.usable[0].path
            also = [upstream.url] if upstream.plain_http and not prefix else []
            yield from _endpoints(upstream.registry, public.url, *also)
            if prefix:
                yield from ("    rewrite:", f'      "^(.*)$": {quoted(f"{prefix}/$1")}')


def _endpoints(registry: str, *urls: str) -> Iterator[str]:
    yield from (f"  {quoted(registry)}:", "    endpoint:", *(f"      - {quoted(url)}" for url in urls))


def _notes(public: Public) -> Iterator[str]:
    for upstream in public.upstreams:
        yield from impostor_notes(upstream, upstream.prefixes)
        yield from name_notes(public, upstream, upstream.usable[1:], "k3s")
        if _is_lost(upstream):
            yield (
                f"{upstream.registry}: what the mirror lacks cannot be pulled, for k3s asks that registry itself by "
                "https alone"
            )


def _is_lost(upstream: Upstream) -> bool:
    return upstream.plain_http and bool(upstream.usable) and bool(upstream.usable[0].path)
