"""Configures one client for a mirror."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from reconciler.clients import Client, ClientConfig
from reconciler.clients.buildkit import buildkit
from reconciler.clients.containerd import containerd
from reconciler.clients.docker import docker
from reconciler.clients.k3s import k3s
from reconciler.clients.kubernetes import kubernetes
from reconciler.clients.podman import podman
from reconciler.clients.public import public

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors


def configure(client: Client, mirrors: Mirrors) -> ClientConfig:
    """Builds the configuration of `client`. Raises `UsageError` if clients cannot pull from `store.public_url`."""
    seen = public(mirrors)
    match client:
        case Client.DOCKER:
            return docker(seen)
        case Client.CONTAINERD:
            return containerd(seen)
        case Client.PODMAN:
            return podman(seen)
        case Client.K3S:
            return k3s(seen)
        case Client.BUILDKIT:
            return buildkit(seen)
        case Client.KUBERNETES:
            return kubernetes(seen)
        case _:
            assert_never(client)
