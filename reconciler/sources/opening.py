"""Opens the sources that mirrors.yaml names. What a kind of source needs is imported only when it is asked for."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.errors import NotFound
from reconciler.oci.spec import Repository
from reconciler.sources.config import RegistryConfig
from reconciler.work.deadline import NEVER
from reconciler.work.threads import BLOB_WORKERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.sources import OpenSource, Source
    from reconciler.sources.access import Access
    from reconciler.sources.bandwidth import Bandwidth
    from reconciler.sources.registry import Registry
    from reconciler.work.deadline import Deadline


@contextmanager
def open_sources(
    registries: Mapping[str, RegistryConfig],
    folder: Path,
    environ: Mapping[str, str],
    workers: int = BLOB_WORKERS,
    bandwidth: float | None = None,
    deadline: Deadline = NEVER,
) -> Iterator[OpenSource]:
    """A function that opens sources, for as long as the block lasts. Sends nothing yet.

    `folder` is what the paths of `oci:` sources start from. Each registry is opened once and shared by all threads;
    each layout's index.json is read once, so that all that is said of it in one block agrees. `workers` is how
    many blobs are downloaded at once, `bandwidth` the bytes a second that all of them together may have. After
    `deadline` no registry is asked any more.
    """
    from reconciler.sources.bandwidth import Bandwidth

    limit = Bandwidth(bandwidth) if bandwidth else None
    opened: dict[str, Registry] = {}
    sources: dict[str, Source] = {}
    lock = threading.Lock()

    def open_source(source: str) -> Source:
        with lock:
            if source not in sources:
                sources[source] = _open_layout(source, folder) if source.startswith("oci:") else in_registry(source)
            return sources[source]

    def open_registry(name: str) -> Registry:
        return _open_registry(name, registries, environ, workers, limit, deadline)

    def in_registry(source: str) -> Source:
        from reconciler.sources.repository import RegistrySource

        repository = Repository.parse(source)
        if repository.registry not in opened:
            opened[repository.registry] = open_registry(repository.registry)
        return RegistrySource(opened[repository.registry], repository.path)

    try:
        yield open_source
    finally:
        for registry in opened.values():
            registry.close()


def _open_layout(source: str, folder: Path) -> Source:
    from reconciler.sources.image_layout import ImageLayout

    path = Path(source.removeprefix("oci:"))
    try:
        return ImageLayout(source, folder / path.expanduser())
    except RuntimeError:
        raise NotFound(source, f"there is no user {path.parts[0].removeprefix('~')} whose home this could be") from None


def _open_registry(
    name: str,
    registries: Mapping[str, RegistryConfig],
    environ: Mapping[str, str],
    workers: int,
    limit: Bandwidth | None,
    deadline: Deadline,
) -> Registry:
    from reconciler.sources.keychain import Keychain
    from reconciler.sources.registry import MAX_CONNECTIONS, Registry

    config = registries.get(name, RegistryConfig())
    connections = config.max_connections or max(MAX_CONNECTIONS, 2 * workers)
    return Registry(
        name,
        replace(config, max_connections=connections),
        Keychain(name, config, environ),
        bandwidth=limit,
        elsewhere=lambda url: _access_elsewhere(url, registries, environ),
        deadline=deadline,
    )


def _access_elsewhere(url: str, registries: Mapping[str, RegistryConfig], environ: Mapping[str, str]) -> Access:
    """The access to a registry that another one redirects to: with its own login, if mirrors.yaml names one for it.

    A login in a file is not used: it is not said to be for what another registry sends us to.
    """
    from reconciler.sources.access import Access
    from reconciler.sources.keychain import Anonymous, Keychain

    parts = urlsplit(url)
    name = "docker.io" if parts.netloc == "registry-1.docker.io" else parts.netloc
    config = registries.get(name, RegistryConfig())
    logins = Keychain(name, config, environ) if config.username_env else Anonymous()
    return Access(name, f"{parts.scheme}://{parts.netloc}", logins, config.token_servers, is_named_by_it=True)
