"""Lists the repositories below a path at a registry: by the registry's own API where it has one, else by `_catalog`.

A new way to list is a module of its own and a row in `LISTINGS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias

from reconciler.oci.docker_hub import DOCKER_HUB
from reconciler.oci.spec import is_repository
from reconciler.sources.namespaces import catalog, docker_hub, github, quay

if TYPE_CHECKING:
    from reconciler.sources.namespaces.place import Place

Listing: TypeAlias = "Callable[[Place], Iterator[str]]"
"""Yields the names of the repositories at a place, without the path that they share. Raises `SourceError`."""

LISTINGS: Mapping[str, Listing] = {
    DOCKER_HUB: docker_hub.names,
    "quay.io": quay.names,
    "ghcr.io": github.names,
}


def list_repositories(place: Place) -> Iterator[str]:
    """Yields each name once; those that are not valid are left out. Raises `SourceError` and its kinds."""
    catalog.refuse_mirrors(place)
    seen: set[str] = set()
    for name in LISTINGS.get(place.registry, catalog.names)(place):
        if name not in seen and is_repository(name):
            seen.add(name)
            yield name
