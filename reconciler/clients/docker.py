"""The Docker daemon: daemon.json (docs.docker.com, dockerd), and from 28 on a hosts.toml for each registry.

`registry-mirrors` replaces docker.io only, by the same paths; every release supports it. The hosts.toml files are
containerd's, in Docker's own folder for certificates (moby's daemon/hosts.go): `docker build` reads them, and so does
`docker pull` with containerd's image store. If there is one for docker.io, `registry-mirrors` applies to the other
image store only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler.clients import Client, ClientConfig, File, Pull
from reconciler.clients.containerd import CERTIFICATE, folder, hosts_toml
from reconciler.clients.public import ROOT, certificate_notes, prefix_notes, pull_here, pull_through
from reconciler.oci.docker_hub import DOCKER_HUB

if TYPE_CHECKING:
    from reconciler.clients.public import Public
    from reconciler.clients.upstreams import Upstream

_FOLDER = "/etc/docker/certs.d"
_HOW = "Docker 28 and newer read it at each docker build, and at each docker pull with containerd's image store"


def docker(public: Public) -> ClientConfig:
    settings = {
        **({"registry-mirrors": [public.url]} if any(map(_is_at_root, public.upstreams)) else {}),
        **({"insecure-registries": [public.host]} if public.plain_http else {}),
    }
    how = "Add these keys to the existing file; then: systemctl reload docker"
    daemon = [File("/etc/docker/daemon.json", f"{json.dumps(settings, indent=2)}\n", how)] if settings else []
    hosts = [
        File(f"{_FOLDER}/{folder(upstream.registry)}/hosts.toml", hosts_toml(public, upstream), _HOW)
        for upstream in public.upstreams
        if _needs_hosts(upstream)
    ]
    pulls = (pull_here(public, "docker pull {}"), *_through(public))
    return ClientConfig(Client.DOCKER, public.host, (*daemon, *hosts), pulls, tuple(_notes(public)))


def _is_at_root(upstream: Upstream) -> bool:
    """Whether `registry-mirrors` reaches it."""
    return upstream.registry == DOCKER_HUB and any(prefix.path == ROOT for prefix in upstream.usable)


def _needs_hosts(upstream: Upstream) -> bool:
    """Whether it has repositories that `registry-mirrors` does not reach."""
    return any(upstream.registry != DOCKER_HUB or prefix.path != ROOT for prefix in upstream.usable)


def _through(public: Public) -> Iterator[Pull]:
    """Shows how to pull an image of each registry, those of Docker Hub by their short names."""
    for upstream in public.upstreams:
        if upstream.usable:
            pull = pull_through(public, upstream, upstream.usable[0].repositories[0], "docker pull {}")
            yield Pull(pull.command.replace("docker.io/library/", "").replace("docker.io/", ""), pull.through)


def _notes(public: Public) -> Iterator[str]:
    yield from prefix_notes(public, "Docker")
    for upstream in filter(_needs_hosts, public.upstreams):
        prefix = next(one for one in upstream.usable if upstream.registry != DOCKER_HUB or one.path != ROOT)
        yield (
            f"{upstream.registry}: Docker before 28, and docker pull without containerd's image store (the default of "
            "new installations since 29, features.containerd-snapshotter in daemon.json before), use the source; "
            f"pull by the name here, e.g. {public.location(prefix.target(prefix.repositories[0]))}"
        )
    if any(upstream.usable for upstream in public.upstreams):
        yield from certificate_notes(public, "Docker", _certificate(public))


def _certificate(public: Public) -> str:
    """Describes where a CA's certificate has to be."""
    # BuildKit and containerd's image store use the folder of docker.io, but only its hosts.toml if it has one.
    places = [f"{_FOLDER}/{public.host}/ca.crt"]
    hub = [upstream for upstream in public.upstreams if upstream.registry == DOCKER_HUB and upstream.usable]
    if hub and not _needs_hosts(hub[0]):
        places.append(f"{_FOLDER}/{DOCKER_HUB}/ca.crt, for docker build and containerd's image store")
    if any(map(_needs_hosts, public.upstreams)):
        places.append(CERTIFICATE)
    return f"in {', and '.join(places)}"
