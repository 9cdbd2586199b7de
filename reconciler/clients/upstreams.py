"""Finds the source registries that a mirror can replace for clients. Pure.

A client that uses a mirror for a registry requests the same repository path there, or that path below a fixed prefix;
no client accepts a list of names. So a registry can be replaced only where targets are `<path>` or `<prefix>/<path>`,
and only if there is no other repository that the client would take for one of the registry's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.errors import Malformed
from reconciler.frozen import Frozen
from reconciler.http.hosts import is_loopback
from reconciler.oci.docker_hub import DOCKER_HUB, api_host
from reconciler.oci.spec import RepositoryName

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror
    from reconciler.sources.config import RegistryConfig


class Impostor(Frozen):
    """A repository of the mirror that a client would take for `name`, though it comes from `source`."""

    name: str
    source: str
    target: str


class Prefix(Frozen):
    """A path of the mirror below which a registry's repositories keep their own paths; empty for the root."""

    path: str
    repositories: tuple[str, ...]
    impostors: tuple[Impostor, ...]

    def target(self, repository: str) -> str:
        return f"{self.path}/{repository}" if self.path else repository


class Upstream(Frozen):
    """A source registry.

    prefixes  that its repositories are under, the one with most repositories first
    renamed   the targets of repositories under no prefix, by their path at the registry
    """

    registry: str
    plain_http: bool
    prefixes: tuple[Prefix, ...]
    renamed: Mapping[str, str]

    @property
    def usable(self) -> tuple[Prefix, ...]:
        """The prefixes without impostors."""
        return tuple(prefix for prefix in self.prefixes if not prefix.impostors)

    @property
    def url(self) -> str:
        """The URL of its API."""
        return f"{'http' if self.plain_http else 'https'}://{api_host(self.registry)}"


def speaks_http(host: str, registries: Mapping[str, RegistryConfig]) -> bool:
    """Whether clients reach a registry by plain HTTP, as far as it is known without a request.

    On this machine most do, as docker and podman expect; `plain_http: false` or a certificate to trust says otherwise.
    """
    config = registries.get(host)
    if config and (config.plain_http is not None or config.ca_file or config.client_cert):
        return bool(config.plain_http)
    return is_loopback(urlsplit(f"//{host}").hostname or "")


def upstreams(mirrors: Sequence[Mirror], registries: Mapping[str, RegistryConfig]) -> tuple[Upstream, ...]:
    """Lists the registries that the mirrors take images from, Docker Hub first. Image layouts are left out."""
    by_registry: defaultdict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for mirror in mirrors:
        if mirror.repository:
            by_registry[mirror.repository.registry][mirror.repository.path].append(mirror.target)
    return tuple(
        _upstream(registry, targets, mirrors, plain_http=speaks_http(registry, registries))
        for registry, targets in sorted(by_registry.items(), key=lambda item: (item[0] != DOCKER_HUB, item[0]))
    )


def _upstream(
    registry: str, targets: Mapping[str, list[str]], mirrors: Sequence[Mirror], *, plain_http: bool
) -> Upstream:
    repositories: defaultdict[str, list[str]] = defaultdict(list)
    renamed = {}
    for path, target in ((path, target) for path, several in targets.items() for target in several):
        if target == path or target.endswith(f"/{path}"):
            repositories[target.removesuffix(path).rstrip("/")].append(path)
        else:
            renamed[path] = target
    prefixes = (
        Prefix(path, tuple(names), tuple(_impostors(registry, path, mirrors))) for path, names in repositories.items()
    )
    return Upstream(registry, plain_http, tuple(sorted(prefixes, key=lambda one: -len(one.repositories))), renamed)


def _impostors(registry: str, prefix: str, mirrors: Sequence[Mirror]) -> Iterator[Impostor]:
    below = f"{prefix}/" if prefix else ""
    for mirror in mirrors:
        name = mirror.target.removeprefix(below)
        if not mirror.target.startswith(below) or not _can_be_at(registry, name):
            continue
        if mirror.source != f"{registry}/{name}":
            yield Impostor(f"{registry}/{name}", mirror.source, mirror.target)
        elif mirror.rename:
            # A tag here may be another image than the tag of this name there.
            yield Impostor(f"{registry}/{name}", f"{mirror.source} with renamed tags", mirror.target)


def _can_be_at(registry: str, path: str) -> bool:
    """Whether a client can request `path` from this registry."""
    # Docker Hub has only `namespace/name`, without a dot in the namespace.
    try:
        RepositoryName.parse(f"{registry}/{path}")
    except Malformed:
        return False
    namespace, slash, name = path.partition("/")
    return registry != DOCKER_HUB or (bool(slash) and "/" not in name and "." not in namespace)
