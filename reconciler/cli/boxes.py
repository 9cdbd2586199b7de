"""Lets a command take its images from a box in the place of the sources: `--from`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.console import note
from reconciler.cli.waiting import waiting
from reconciler.errors import UsageError
from reconciler.frozen import Frozen

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.plan.connections import Connections
    from reconciler.plan.plan import Plan


NAMED = 5
"""How many repositories are named that are left out."""


class Sourced(Frozen):
    """What a command plans and applies with. `checked` notes the box in a plan, and raises for one with gaps."""

    mirrors: Mirrors
    connections: Connections
    only: tuple[str, ...]
    checked: Callable[[Plan], Plan] = lambda plan: plan


def check_keys(boxes: Sequence[Path] | None, keys: Sequence[Path] | None) -> None:
    """Raises `UsageError` for keys without a box, which would verify nothing."""
    if keys and not boxes:
        raise UsageError("--key verifies a box: add --from BOX; images are verified by signed_by")


@contextmanager
def sourced(
    boxes: Sequence[Path],
    mirrors: Mirrors,
    connections: Connections,
    only: Sequence[str],
    keys: Sequence[Path],
    *,
    allow_older: bool = False,
) -> Iterator[Sourced]:
    """Yields the mirrors as they are, or with a box in the place of their sources. Raises as `delivered` does.

    keys         files of the public keys that may have signed the box
    allow_older  the box may be older than the one before it
    """
    if not boxes:
        yield Sourced(mirrors, connections, tuple(only))
        return
    # Imported here: most runs take no box.
    from reconciler.box.delivery import delivered
    from reconciler.box.signature import signature_path

    if not keys and signature_path(boxes[0]).exists():
        note(f"{signature_path(boxes[0])} is not verified; --key KEY verifies it")
    with delivered(boxes, mirrors, connections, only, waiting, keys) as found:
        if found.unnamed:
            some = ", ".join(found.unnamed[:NAMED]) + (" ..." if len(found.unnamed) > NAMED else "")
            note(f"the box also has {some}, which the mirrors file does not name; left out")

        def checked(plan: Plan) -> Plan:
            with waiting("Checking that all images are whole ..."):
                return found.checked(plan, allow_older=allow_older)

        yield Sourced(found.mirrors, found.connections, found.only, checked)
