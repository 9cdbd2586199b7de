"""Finishes restores that were cut off: their images are in the target whole, so that no source is needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler.apply.outcome import Done, Failed
from reconciler.plan.image_work import restored

if TYPE_CHECKING:
    from reconciler.plan.diff import Change
    from reconciler.plan.plan import Plan
    from reconciler.target.protocol import Target, TargetRepository


def finish_restores(plan: Plan, target: Target) -> Iterator[Done | Failed]:
    """Points the tags of restores that were cut off at their images, and yields how that went. Raises `StoreError`."""
    for repository in plan.repositories:
        for change in restored(repository):
            why = _point(target.repository(repository.target), change)
            yield Failed(repository.target, change, why) if why else Done(repository.target, change)


def _point(repository: TargetRepository, change: Change) -> str | None:
    assert change.after
    digest = change.after.digest
    body = repository.manifest_body(digest)
    if body is None or not digest.matches(body):
        state = "missing" if body is None else "damaged"
        return f"{repository.manifest_key(digest)}: is {state}; `r2mirror verify --repair` fetches it from its source"
    repository.put_tag(change.tag, body, change.after.media_type)
    return None
