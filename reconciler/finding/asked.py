"""Writes entries of mirrors.yaml for tags that clients asked a mirror for. Pure."""

from __future__ import annotations

import json
from collections import defaultdict
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
    by_target: defaultdict[str, list[Wanted]] = defaultdict(list)
    for one in wanted:
        by_target[one.target].append(one)
    lines = [line for target in sorted(by_target) for line in _entry(by_target[target], mirrors)]
    header = "mirrors:" if any(line.startswith("  - ") for line in lines) else "mirrors: []"
    return "\n".join([header, *lines]) + "\n"


def _entry(wanted: list[Wanted], mirrors: Mirrors) -> list[str]:
    """The lines for the tags of one target; a comment if its source is not in a registry, e.g. a folder."""
    first = wanted[0]
    source = source_of(first, mirrors)
    known = "; add the tags to the entry of this target" if source else ""
    why = f"  # asked for {sum(one.count for one in wanted)}x{known}"
    references = [f"{source or _guessed(first)}:{one.tag}" for one in wanted]
    try:
        Image.parse(references[0])
    except Malformed:
        return [f"{why}: {first.target}", *(f"  #   - {json.dumps(one.tag)}" for one in wanted)]
    found = [Found("", 1, 1, reference, "") for reference in references]
    return entries(found, lambda _: why, first.target).splitlines()[1:]


def _guessed(one: Wanted) -> str:
    return one.target if is_evident(str(one)) else f"{DOCKER_HUB}/{one.target}"
