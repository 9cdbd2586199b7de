"""Sources without a prefix, e.g. `docker.io/library/alpine`: repositories at registries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.oci.docker_hub import registry_at
from reconciler.oci.spec import RepositoryName
from reconciler.sources.config import RegistryConfig
from reconciler.sources.names import Kind, SourceName

if TYPE_CHECKING:
    from reconciler.sources import Source
    from reconciler.sources.access import Access
    from reconciler.sources.names import SourceSettings
    from reconciler.sources.registry import Registry
    from reconciler.sources.repository import RegistrySource


def parse(text: str) -> SourceName:
    """Parses `[registry/]path`. Raises `Malformed`."""
    repository = RepositoryName.parse(text)
    return SourceName(str(repository), repository.registry, repository.registry, repository)


class Registries:
    """Opens repositories. Each registry is opened once and shared by all threads, with its connections and tokens."""

    def __init__(self, settings: SourceSettings) -> None:
        self._settings = settings
        self._opened: dict[str, Registry] = {}
        self._told: set[str] = set()

    def open(self, name: SourceName) -> Source:
        assert name.repository
        registry, path = name.repository.registry, name.repository.path
        config = self._settings.registries.get(registry, RegistryConfig())
        return self._mirrored(registry, path, config) if config.mirrors else self._at(registry, path)

    def _mirrored(self, registry: str, path: str, config: RegistryConfig) -> Source:
        from reconciler.sources.mirrored import Hosts, MirroredSource

        # A mirror's own `mirrors` are not used: that could go in a circle.
        mirrors = [(one, self._at(one.host, one.path(path), registry)) for one in config.mirrors]
        contents = tuple(source for _, source in mirrors)
        resolving = tuple(source for one, source in mirrors if one.resolves)
        if config.only_mirrors:
            return MirroredSource(Hosts(contents, resolving or contents, resolving or contents, False, self._told))
        home = self._at(registry, path)
        return MirroredSource(Hosts((*contents, home), (*resolving, home), (home,), True, self._told))

    def _at(self, registry: str, path: str, upstream: str = "") -> RegistrySource:
        from reconciler.sources.repository import RegistrySource

        if registry not in self._opened:
            self._opened[registry] = open_registry(registry, self._settings)
        return RegistrySource(self._opened[registry], path, upstream=upstream)

    def close(self) -> None:
        for registry in self._opened.values():
            registry.close()


def open_registry(name: str, settings: SourceSettings, *, plain_http: bool | None = None) -> Registry:
    """Opens a host, with what mirrors.yaml has for it. `plain_http`: whether its address says so; None: it does not."""
    from reconciler.http.rate import Rate
    from reconciler.sources.keychain import Keychain
    from reconciler.sources.registry import MAX_CONNECTIONS, Registry

    config = settings.registries.get(name, RegistryConfig())
    if plain_http is not None:
        config = replace(config, plain_http=plain_http)
    # Twice the workers: each holds a connection for its download, and may need another one to resolve or to log in.
    connections = config.max_connections or max(MAX_CONNECTIONS, 2 * settings.workers)
    return Registry(
        name,
        replace(config, max_connections=connections),
        Keychain(name, config, settings.environ),
        bandwidth=settings.limit,
        elsewhere=lambda url: _access_elsewhere(url, settings.registries, settings.environ),
        deadline=settings.deadline,
        rate=Rate(config.rate) if config.rate else None,
    )


def _access_elsewhere(url: str, registries: Mapping[str, RegistryConfig], environ: Mapping[str, str]) -> Access:
    """Makes the access to a registry that another one redirects to, with the login that mirrors.yaml names for it.

    A login from a file is not used there: its owner did not agree that another registry may direct us to use it.
    """
    from reconciler.sources.access import Access
    from reconciler.sources.keychain import Anonymous, Keychain

    parts = urlsplit(url)
    name = registry_at(parts.netloc)
    config = registries.get(name, RegistryConfig())
    logins = Keychain(name, config, environ) if config.username_env else Anonymous()
    return Access(name, f"{parts.scheme}://{parts.netloc}", logins, config.token_servers, is_named_by_it=True)


KIND = Kind("", parse, Registries, "check the name, the network and a proxy; see registries in mirrors.yaml")
