"""The events of a run: the outcome of each change of a plan, and what else is reported. Values only."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, TypeAlias

from reconciler.frozen import Frozen

if TYPE_CHECKING:
    from reconciler.oci.spec import Digest
    from reconciler.plan.diff import Change
    from reconciler.plan.plan import Plan
    from reconciler.target.removable import Garbage, NotCollected


class Took(Frozen):
    """What it took to copy an image: bytes moved, and seconds."""

    size: int = 0
    seconds: float = 0.0


class Done(Frozen):
    """A change that was made and is recorded in the mirror index.

    `took` is for the whole image, with its other tags; it counts the blobs and manifests that the repository lacked.
    `kept`: why a tag that was pruned from the mirror index is still there, because the target cannot delete it.
    """

    target: str
    change: Change
    took: Took = field(default=Took(), compare=False)
    kept: str | None = None


class Failed(Frozen):
    """A change that could not be made. `why` is one of `errors.REASONS`."""

    target: str
    change: Change
    error: str
    why: str = field(default="other", compare=False)


class Skipped(Frozen):
    """A change that was not tried, e.g. because the time of the run was over. `why` is one of `errors.REASONS`."""

    target: str
    change: Change
    reason: str
    why: str = field(default="other", compare=False)


class NotMirrored(Frozen):
    """A tag that a pattern chose and that has no image for the wanted platforms: no failure, and reported once."""

    target: str
    tag: str
    reason: str


class ImmutableTagMoved(Frozen):
    """An immutable tag that points to another digest at its source, and that stays as it is mirrored: an error."""

    target: str
    tag: str
    before: Digest
    after: Digest


class Replanned(Frozen):
    """The plan that is applied from here on, because the mirror index had changed since the first one was made."""

    plan: Plan


Outcome: TypeAlias = Done | Failed | Skipped


Event: TypeAlias = "Outcome | NotMirrored | ImmutableTagMoved | Replanned | Garbage | NotCollected"
"""What a run yields: its changes, the tags that it leaves out or that moved, another plan, and collected garbage."""
