"""Writes entries of mirrors.yaml for tags that clients asked a mirror for. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from reconciler.errors import Malformed
from reconciler.finding.entries import entries
from reconciler.finding.found import Found
from reconciler.finding.image import Image, is_evident
from reconciler.oci.docker_hub import DOCKER_HUB

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.pulls.wanted import Wanted


def source_of(one: Wanted, mirrors: Mirrors) -> str | None:
    """Returns the source whose target is asked for; None if mirrors.yaml has none."""
    return next((mirror.source for mirror in mirrors.mirrors if mirror.target == one.target), None)


def asked_entries(wanted: Iterable[Wanted], mirrors: Mirrors) -> str:
    """Writes the `mirrors` of a mirrors.yaml for these tags.

    A client tells the name in the mirror only. Without an entry that has it as its target, the source is a guess: the
    registry that the name begins with, e.g. `ghcr.io/team/app`, or Docker Hub.
    """
    wanted = tuple(wanted)
    counts: dict[Image, int] = {}
    found = []
    for one in wanted:
        reference = f"{source_of(one, mirrors) or _guessed(one)}:{one.tag}"
        try:
            image = Image.parse(reference)
        except Malformed:
            continue  # A source that is not in a registry, e.g. a folder.
        counts[image] = counts.get(image, 0) + one.count
        found.append(Found("", 1, 1, reference, ""))
    return entries(
        found, lambda those: f"  # asked for {sum({one.image: counts[one.image] for one in those}.values())}x"
    )


def _guessed(one: Wanted) -> str:
    return one.target if is_evident(str(one)) else f"{DOCKER_HUB}/{one.target}"
