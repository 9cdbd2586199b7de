"""k3s: registries.yaml (docs.k3s.io, private registry configuration), from which it writes containerd's hosts.toml.

An endpoint with a path is used for a prefix. `rewrite` would work too, but only k3s's own containerd supports it: any
other containerd that reads the same files would request the path at the root, where another registry's repository may
be. The registry's own endpoint is always tried last, by https.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler.clients import Client, ClientConfig, File
from reconciler.clients.containerd import endpoint
from reconciler.clients.public import certificate_notes, prefix_notes, pull_here, pulls_through, quoted

if TYPE_CHECKING:
    from reconciler.clients.public import Public


def k3s(public: Public) -> ClientConfig:
    lines = list(_lines(public))
    how = "Merge it into the existing file on every node; then: systemctl restart k3s (k3s-agent on agents)"
    content = "\n".join(("mirrors:", *lines, ""))
    certificate = f"as configs: {{{quoted(public.host)}: {{tls: {{ca_file: /path/ca.crt}}}}}} in registries.yaml"
    return ClientConfig(
        Client.K3S,
        public.host,
        (File("/etc/rancher/k3s/registries.yaml", content, how),) if lines else (),
        (pull_here(public, "k3s crictl pull {}"), *pulls_through(public, "k3s crictl pull {}")),
        (*prefix_notes(public, "k3s"), *(certificate_notes(public, "k3s", certificate) if lines else ())),
    )


def _lines(public: Public) -> Iterator[str]:
    if public.plain_http:
        yield from _endpoints(public.host, public.url)
    for upstream in public.upstreams:
        if upstream.usable:
            # k3s adds the registry's own endpoint by itself, but with https.
            also = [upstream.url] if upstream.plain_http else []
            yield from _endpoints(upstream.registry, *(endpoint(public, prefix) for prefix in upstream.usable), *also)


def _endpoints(registry: str, *urls: str) -> Iterator[str]:
    yield from (f"  {quoted(registry)}:", "    endpoint:", *(f"      - {quoted(url)}" for url in urls))
