"""Lets a command take its images from a box in the place of the sources: `--from`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.console import note
from reconciler.cli.progress import waiting

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.plan.connections import Connections
    from reconciler.plan.plan import Plan


NAMED = 5
"""How many repositories are named that are left out."""


@dataclass(frozen=True)
class Sourced:
    """What a command plans and applies with. `check` raises for a plan that may not be applied."""

    mirrors: Mirrors
    connections: Connections
    only: tuple[str, ...]
    check: Callable[[Plan], None] = lambda _: None


@contextmanager
def sourced(
    boxes: Sequence[Path], mirrors: Mirrors, connections: Connections, only: Sequence[str]
) -> Iterator[Sourced]:
    """Yields the mirrors as they are, or with a box in the place of their sources. Raises as `delivered` does."""
    if not boxes:
        yield Sourced(mirrors, connections, tuple(only))
        return
    # Imported here: most runs take no box.
    from reconciler.box.delivery import delivered

    with delivered(boxes, mirrors, connections, only, waiting) as found:
        if found.unnamed:
            some = ", ".join(found.unnamed[:NAMED]) + (" ..." if len(found.unnamed) > NAMED else "")
            note(f"the box also has {some}, which the mirrors file does not name; left out")

        def check(plan: Plan) -> None:
            with waiting("Checking that all images are whole ..."):
                found.check(plan)

        yield Sourced(found.mirrors, found.connections, found.only, check)
