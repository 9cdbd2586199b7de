"""Names Docker Hub: in image names, and as the host of its API. Pure."""

from __future__ import annotations

DOCKER_HUB = "docker.io"
"""The registry in the names of its images."""

_API_HOST = "registry-1.docker.io"

ALIASES = ("index.docker.io", _API_HOST)
"""Other hosts that clients accept for it."""


def api_host(registry: str) -> str:
    """The host where a registry's API is; that of Docker Hub is not the one in its images' names."""
    return _API_HOST if registry == DOCKER_HUB else registry


def registry_at(host: str) -> str:
    """The registry, as images name it, whose API is at `host`."""
    return DOCKER_HUB if host == _API_HOST else host
