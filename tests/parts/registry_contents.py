"""What is visible in a registry in memory: whether its tags are whole, and which there are."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import httpx

from reconciler.oci.spec import ACCEPT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.parts.registry_habits import MemoryRegistry, Repository


def from_registry(url: str) -> Callable[[str], bytes]:
    """Returns what reads a path of a registry as a client does, for `tests.world.walk`."""

    def read(path: str) -> bytes:
        answer = httpx.get(f"{url}/{path}", headers={"Accept": ACCEPT}, trust_env=False, follow_redirects=True)
        return answer.raise_for_status().content

    return read


def tags(registry: MemoryRegistry) -> dict[str, str]:
    """Every tag as `repository:tag`, with its digest; those that list referrers are left out."""
    return {
        f"{path}:{tag}": digest
        for path, at in registry.repositories.items()
        for tag, digest in at.tags.items()
        if not re.fullmatch(r"sha256-[0-9a-f]{64}", tag)
    }


def broken(registry: MemoryRegistry) -> list[str]:
    """Lists the tags with something missing below them."""
    return [
        f"{path}:{tag} lacks {missing}"
        for path, at in registry.repositories.items()
        for tag, digest in at.tags.items()
        for missing in _missing(at, digest)
    ]


def _missing(at: Repository, digest: str) -> list[str]:
    if digest not in at.manifests:
        return [digest]
    document = json.loads(at.manifests[digest][1])
    # Of a list of referrers, the entries are manifests like any other.
    children = [missing for one in document.get("manifests", ()) for missing in _missing(at, one["digest"])]
    blobs = [document["config"], *document["layers"]] if "layers" in document else []
    return [*children, *(one["digest"] for one in blobs if one["digest"] not in at.blobs)]
