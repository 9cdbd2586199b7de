"""Tells whether a box is older than one that the target has had, and notes which one it has. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.target.index import Delivered
from reconciler.words import count

if TYPE_CHECKING:
    from reconciler.box.contents import BoxManifest
    from reconciler.plan.plan import Plan, RepositoryPlan
    from reconciler.target.index import RepositoryState


def in_order(
    plan: Plan, box: str, manifest: BoxManifest, observed: Mapping[str, RepositoryState], *, allow_older: bool = False
) -> Plan:
    """Returns the plan with the box that it is made from, and with why that may not be applied, if it may not.

    box       names the box
    observed  the repositories of the mirror index

    Boxes are in the order of their serials, which count for boxes of one mirror only: those whose mirrors file has
    the same name.
    """
    taken = [one for one in plan.repositories if one.target in manifest.repositories]
    newer = {} if allow_older else _newer(taken, manifest, observed)
    ours = Delivered(manifest.name, manifest.end.serial)
    # A repository without a tag is not in the index for the sake of this note.
    noted = {one.target for one in taken if one.target not in newer and (one.changes or one.target in observed)}
    repositories = (replace(one, delivered=ours) if one.target in noted else one for one in plan.repositories)
    back = [one for one in taken if one.target in newer and one.changes]
    why = _why(box, manifest, newer, back) if back else None
    warnings = (*plan.warnings, why) if why else plan.warnings
    return replace(plan, repositories=tuple(repositories), older_box=why, warnings=warnings)


def _newer(
    taken: list[RepositoryPlan], manifest: BoxManifest, observed: Mapping[str, RepositoryState]
) -> dict[str, int]:
    """The repositories that have had a newer box, with its serial."""
    had = {one.target: observed[one.target].delivered for one in taken if one.target in observed}
    return {
        target: last.serial
        for target, last in had.items()
        if last and last.name == manifest.name and last.serial > manifest.end.serial
    }


def _why(box: str, manifest: BoxManifest, newer: Mapping[str, int], back: list[RepositoryPlan]) -> str:
    tags = count(sum(len(one.changes) for one in back), "tag")
    last = max(newer[one.target] for one in back)
    return (
        f"{box} ends with serial {manifest.end.serial}, and the target has had a box up to serial {last}: {tags} would "
        "go back to an older state; if that is meant, add --allow-older to apply"
    )
