"""BuildKit: buildkitd.toml (BuildKit's docs/buildkitd.toml.md).

BuildKit puts a path in a mirror's location between /v2/ and the repository (util/resolver/resolver.go).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler.clients import Client, ClientConfig, File
from reconciler.clients.public import certificate_notes, prefix_notes, pull_here, pulls_through, quoted

if TYPE_CHECKING:
    from reconciler.clients.public import Public

_PATH = "/etc/buildkit/buildkitd.toml"
_HOW = (
    "Add it to the existing file; then: systemctl restart buildkit, or for a separate builder: "
    f"docker buildx create --use --buildkitd-config {_PATH}"
)
_DAEMON_NOTE = (
    "The BuildKit inside the Docker daemon does not read this file, but Docker's own: r2mirror client-config docker"
)


def buildkit(public: Public) -> ClientConfig:
    tables = list(_tables(public))
    return ClientConfig(
        Client.BUILDKIT,
        public.host,
        (File(_PATH, "\n".join(tables), _HOW),) if tables else (),
        (pull_here(public, "FROM {}"), *pulls_through(public, "FROM {}")),
        (*prefix_notes(public, "BuildKit"), *(_notes(public) if tables else ())),
    )


def _notes(public: Public) -> Iterator[str]:
    yield _DAEMON_NOTE
    yield from certificate_notes(public, "BuildKit", f'as ca = ["/path/ca.crt"] in [registry.{quoted(public.host)}]')


def _tables(public: Public) -> Iterator[str]:
    if public.plain_http:
        yield f"[registry.{quoted(public.host)}]\nhttp = true\n"
    for upstream in public.upstreams:
        if upstream.usable:
            locations = json.dumps([public.location(prefix.path) for prefix in upstream.usable])
            http = "http = true\n" if upstream.plain_http else ""
            yield f"[registry.{quoted(upstream.registry)}]\nmirrors = {locations}\n{http}"
