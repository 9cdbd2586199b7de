"""The Docker daemon: `registry-mirrors` and `insecure-registries` of daemon.json (docs.docker.com, dockerd).

It mirrors docker.io alone, by the same paths. Both keys are read again on a reload.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from reconciler.clients import Client, ClientConfig, File, Pull
from reconciler.clients.public import ROOT, impostor_notes, name_notes, pull_here, pull_through
from reconciler.clients.upstreams import DOCKER_HUB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.clients.public import Public


def docker(public: Public) -> ClientConfig:
    through = list(_through(public))
    settings = {
        **({"registry-mirrors": [public.url]} if through else {}),
        **({"insecure-registries": [public.host]} if public.plain_http else {}),
    }
    how = "Add these keys to what is there; then: systemctl reload docker"
    files = (File("/etc/docker/daemon.json", f"{json.dumps(settings, indent=2)}\n", how),) if settings else ()
    return ClientConfig(
        Client.DOCKER, public.host, files, (pull_here(public, "docker pull {}"), *through), tuple(_notes(public))
    )


def _through(public: Public) -> Iterator[Pull]:
    """How to pull an image of Docker Hub as people type it; nothing where the mirror cannot stand in for it."""
    for upstream in public.upstreams:
        for prefix in upstream.usable:
            if upstream.registry == DOCKER_HUB and prefix.path == ROOT:
                pull = pull_through(public, upstream, prefix.repositories[0], "docker pull {}")
                yield Pull(pull.command.replace("docker.io/library/", "").replace("docker.io/", ""), pull.through)


def _notes(public: Public) -> Iterator[str]:
    for upstream in public.upstreams:
        if upstream.registry == DOCKER_HUB:
            yield from impostor_notes(upstream, (one for one in upstream.prefixes if one.path == ROOT))
            yield from name_notes(public, upstream, (one for one in upstream.prefixes if one.path != ROOT), "Docker")
        else:
            beginning = f"{upstream.registry}/"
            target = next(mirror.target for mirror in public.mirrors if mirror.source.startswith(beginning))
            yield (
                f"{upstream.registry}: Docker mirrors docker.io alone; pull by the name here, as in "
                f"{public.location(target)}"
            )
