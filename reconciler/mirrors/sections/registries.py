"""`registries` of mirrors.yaml -> how to reach each registry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import Malformed
from reconciler.mirrors.text_values import filled, hosts, path, speed
from reconciler.mirrors.variables import login_problem
from reconciler.oci.docker_hub import DOCKER_HUB
from reconciler.oci.spec import RepositoryName
from reconciler.sources.config import RegistryConfig

if TYPE_CHECKING:
    from reconciler.mirrors.document import Document, KeyPath


def read_registries(
    document: Document, folder: Path, environ: Mapping[str, str] | None
) -> Iterator[tuple[str, RegistryConfig]]:
    """Yields the registries by host, spelled as sources spell it; records what is wrong with them."""
    seen: dict[str, str] = {}
    for name in document.sound(("registries",)):
        place: KeyPath = ("registries", name)
        registry = _host(name)
        if not registry:
            document.problem(place, "expected a registry's host or host:port, e.g. ghcr.io", at_key=True)
        elif seen.setdefault(registry, name) != name:
            document.problem(place, f"{name} and {seen[registry]} are the same registry; keep one", at_key=True)
        yield registry, _registry(document, place, registry or name, folder, environ)


def _host(name: str) -> str:
    """The registry's host as sources spell it, empty if `name` is not the name of a registry."""
    try:
        registry = RepositoryName.parse(f"{name}/a/b").registry
    except Malformed:
        return ""
    # A name that is not a host is read as the first part of a path at Docker Hub.
    return "" if "/" in name or (registry == DOCKER_HUB and "docker.io" not in name) else registry


def _registry(
    document: Document, place: KeyPath, registry: str, folder: Path, environ: Mapping[str, str] | None
) -> RegistryConfig:
    said = document.sound(place)
    for key in ("username_env", "password_env"):
        problem = login_problem(said[key], registry) if key in said else None
        if problem:
            document.problem((*place, key), problem)
    ca_file = filled(document, (*place, "ca_file"), said["ca_file"], environ) if "ca_file" in said else None
    return RegistryConfig(
        said.get("username_env"),
        said.get("password_env"),
        said.get("plain_http"),
        path(document, (*place, "ca_file"), ca_file, folder) if ca_file else None,
        said.get("max_connections"),
        speed(document, (*place, "min_speed"), said["min_speed"]) if "min_speed" in said else None,
        hosts(document, (*place, "redirects_to"), said.get("redirects_to", [])),
        hosts(document, (*place, "token_servers"), said.get("token_servers", [])),
    )
