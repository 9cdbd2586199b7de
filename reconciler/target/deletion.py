"""Deletes items of a target where a tag whose deletion fails is an error."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from reconciler.errors import StoreError
from reconciler.target.protocol import Stays

if TYPE_CHECKING:
    from reconciler.target.layout import Key
    from reconciler.target.protocol import Kept, Target


def delete_all(target: Target, items: Iterable[Key]) -> tuple[Kept, ...]:
    """Deletes items, and returns the tags that the target cannot delete. Raises `StoreError` if a deletion failed."""
    kept = target.delete(items)
    failed = next((one for one in kept if one.stays is Stays.PENDING), None)
    if failed:
        raise StoreError(f"{failed.item.repository}:{failed.item.reference}", failed.why)
    return kept
