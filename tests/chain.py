"""What a test says of the objects of the mirror index that stay: those of no account to a test of something else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from reconciler.target.layout import ROOTS, STATES

if TYPE_CHECKING:
    from tests.memory import MemoryStore, Operation


def without_kept(objects: Mapping[str, bytes]) -> dict[str, bytes]:
    """The objects of a bucket without earlier roots and states, whose names differ from run to run."""
    return {key: body for key, body in objects.items() if not key.startswith((ROOTS, STATES))}


def other_writes(store: MemoryStore) -> list[Operation]:
    """The writes without those of kept roots and states."""
    return [one for one in store.writes if not one.key.startswith((ROOTS, STATES))]
