"""Names of Docker Hub: in image names, and the host of its API. Pure."""

from __future__ import annotations

DOCKER_HUB = "docker.io"
"""The registry in the names of its images. There is no API at that host: it redirects to a web page."""

_API_HOST = "registry-1.docker.io"

ALIASES = ("index.docker.io", _API_HOST)
"""Other names that clients accept for it."""


def api_host(registry: str) -> str:
    """Returns the host of a registry's API: the registry itself, except for Docker Hub."""
    return _API_HOST if registry == DOCKER_HUB else registry


def registry_at(host: str) -> str:
    """Returns the registry, as image names spell it, whose API is at `host`."""
    return DOCKER_HUB if host == _API_HOST else host
