"""A drop-in of containers-registries.conf(5) for podman, buildah, skopeo and CRI-O, by repository. Pure.

`client-config podman` replaces whole registries where it can. This replaces the named repositories and no others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from reconciler.clients.public import quoted

if TYPE_CHECKING:
    from reconciler.rewrite.repositories import Replaced


def podman(replaced: Iterable[Replaced], *, plain_http: bool) -> str:
    """Writes a table for each repository. Clients fall back to the source for what the mirror lacks."""
    insecure = "insecure = true\n" if plain_http else ""
    tables = (
        f"\n[[registry]]\nlocation = {quoted(one.source)}\n"
        f"\n[[registry.mirror]]\nlocation = {quoted(one.target)}\n{insecure}"
        for one in replaced
    )
    return "# Save it as /etc/containers/registries.conf.d/50-r2mirror.conf.\n" + "".join(tables)
