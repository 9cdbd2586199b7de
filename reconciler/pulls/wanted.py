"""Selects the tags that clients asked for and that are not mirrored. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.frozen import Frozen

if TYPE_CHECKING:
    from reconciler.pulls.counts import Counts
    from reconciler.target.index import MirrorIndex


class Wanted(Frozen):
    """A tag that is not mirrored, and how often clients asked for it."""

    target: str
    tag: str
    count: int

    def __str__(self) -> str:
        return f"{self.target}:{self.tag}"


def wanted(counts: Counts, index: MirrorIndex) -> tuple[Wanted, ...]:
    """Returns the tags that were missed and still are, those that were asked for most often first."""
    mirrored = {(target, tag) for target, state in index.repositories.items() for tag in state.tags}
    missed = [Wanted(*name, count) for name, count in counts.missed.items() if name not in mirrored]
    return tuple(sorted(missed, key=lambda one: (-one.count, one.target, one.tag)))
