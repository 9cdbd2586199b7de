"""What becomes of the changes of a plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from reconciler.plan.diff import Change
    from reconciler.plan.plan import Plan
    from reconciler.target.garbage import Garbage, NotCollected


@dataclass(frozen=True)
class Took:
    """What work has moved and how long it took: bytes and seconds."""

    size: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Done:
    """A change that was made and is recorded in the mirror index.

    `took`: for its image, other tags of that image included; of blobs and manifests those that the repository lacked.
    """

    target: str
    change: Change
    took: Took = field(default=Took(), compare=False)


@dataclass(frozen=True)
class Failed:
    target: str
    change: Change
    error: str


@dataclass(frozen=True)
class Skipped:
    target: str
    change: Change
    reason: str


@dataclass(frozen=True)
class NotMirrored:
    """A tag that a pattern chooses, and that was found not to be mirrorable as asked: no failure, and told once."""

    target: str
    tag: str
    reason: str


@dataclass(frozen=True)
class Replanned:
    """The plan that is applied from here on: the mirror index had changed since the first one was made."""

    plan: Plan


Outcome: TypeAlias = Done | Failed | Skipped


Event: TypeAlias = "Outcome | NotMirrored | Replanned | Garbage | NotCollected"
"""What a run reports: its changes, what it leaves out, another plan, and the garbage that it came upon."""
