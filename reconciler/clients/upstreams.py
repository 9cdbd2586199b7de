"""What a mirror can stand in for: the source registries whose repositories clients find in it under their own names.

Pure. A client that mirrors a registry asks the mirror for the same repository path, or for that path below a fixed
prefix; none of them can be given a list of names. So a registry can be mirrored in a client's configuration only where
targets are `<path>` or `<prefix>/<path>`, and only if nothing else is there that the client would take for it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.errors import Malformed
from reconciler.oci.spec import Repository

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.mirrors.model import Mirror
    from reconciler.sources.config import RegistryConfig

DOCKER_HUB = "docker.io"


@dataclass(frozen=True)
class Impostor:
    """A repository of the mirror that a client would take for `name`, though it comes from `source`."""

    name: str
    source: str
    target: str


@dataclass(frozen=True)
class Prefix:
    """A path of the mirror below which a registry's repositories have their own paths; empty for the root."""

    path: str
    repositories: tuple[str, ...]
    impostors: tuple[Impostor, ...]

    def target(self, repository: str) -> str:
        return f"{self.path}/{repository}" if self.path else repository


@dataclass(frozen=True)
class Upstream:
    """A source registry: the prefixes its repositories are under, most repositories first, and those under none.

    `renamed` maps a repository's path at the registry to its target.
    """

    registry: str
    plain_http: bool
    prefixes: tuple[Prefix, ...]
    renamed: Mapping[str, str]

    @property
    def usable(self) -> tuple[Prefix, ...]:
        """The prefixes under which there is nothing but what the client believes to find."""
        return tuple(prefix for prefix in self.prefixes if not prefix.impostors)

    @property
    def url(self) -> str:
        """Where its API is; Docker Hub's is not where its name says."""
        host = "registry-1.docker.io" if self.registry == DOCKER_HUB else self.registry
        return f"{'http' if self.plain_http else 'https'}://{host}"


def upstreams(mirrors: Sequence[Mirror], registries: Mapping[str, RegistryConfig]) -> tuple[Upstream, ...]:
    """The registries that the mirrors take images from, Docker Hub first; image layouts are none."""
    by_registry: defaultdict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for mirror in mirrors:
        if mirror.repository:
            by_registry[mirror.repository.registry][mirror.repository.path].append(mirror.target)
    return tuple(
        _upstream(
            registry, targets, mirrors, plain_http=registry in registries and bool(registries[registry].plain_http)
        )
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
        if mirror.target.startswith(below) and _can_be_at(registry, name) and mirror.source != f"{registry}/{name}":
            yield Impostor(f"{registry}/{name}", mirror.source, mirror.target)


def _can_be_at(registry: str, path: str) -> bool:
    """Whether a client can ask this registry for `path`: Docker Hub has `namespace/name`, and no dot in a namespace."""
    try:
        Repository.parse(f"{registry}/{path}")
    except Malformed:
        return False
    namespace, slash, name = path.partition("/")
    return registry != DOCKER_HUB or (bool(slash) and "/" not in name and "." not in namespace)
