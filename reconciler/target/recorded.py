"""Tells which target's images a mirror index records, so that no other target goes by it. Pure.

A bucket records its own. The index of a registry lies in a store beside it, and names the registry: if that store
becomes a target itself, all that the index has would be taken for what the store has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import UsageError
from reconciler.target.protocol import HasStateElsewhere

if TYPE_CHECKING:
    from reconciler.target.index import MirrorIndex
    from reconciler.target.protocol import Target


def registry_of(target: Target) -> str:
    """Returns what the index of this target names; empty if the store that keeps it has the images."""
    return target.registry if isinstance(target, HasStateElsewhere) else ""


def check_recorded(target: Target, index: MirrorIndex) -> None:
    """Raises `UsageError` if the index names another target than this one."""
    ours = registry_of(target)
    # Indexes of earlier releases name none. A registry's plan looks whether its state holds images itself.
    if index.registry in ("", ours):
        return
    mine = f"the registry {ours}" if ours else "the store"
    raise UsageError(
        f"{target.state.name}: its mirror index records what the registry {index.registry} has, and {mine} would be "
        "taken to have it; nothing was done. Give each target a store of its own"
    )
