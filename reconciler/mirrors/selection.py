"""Selects the tags that a mirror wants from the source's tag list, each with the pattern that chose it. Pure.

No pattern that a user can write takes more than linear time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.mirrors.patterns import Named

if TYPE_CHECKING:
    from reconciler.mirrors.patterns import Pattern


@dataclass(frozen=True)
class Chosen:
    """A tag that a mirror wants.

    pattern    the one that chose it
    immutable  whether it is never resolved again once it is mirrored
    """

    tag: str
    pattern: Pattern
    immutable: bool


@dataclass(frozen=True)
class Tally:
    """How many tags a pattern, as mirrors.yaml spells it, has matched, and how many of those are not excluded."""

    pattern: str
    matched: int
    chosen: int


@dataclass(frozen=True)
class Selection:
    """What patterns choose from a list.

    chosen   the wanted tags, each once, sorted by name
    tallies  one for each pattern, in the order of mirrors.yaml
    """

    chosen: tuple[Chosen, ...]
    tallies: tuple[Tally, ...]


def needs_listing(patterns: Iterable[Pattern]) -> bool:
    """Returns whether the source's tag list is needed to know what these patterns choose."""
    return not all(isinstance(pattern, Named) for pattern in patterns)


def select(
    tags: Iterable[Pattern], exclude: Iterable[Pattern], immutable: Iterable[Pattern], listed: Iterable[str]
) -> Selection:
    """Selects the tags that a mirror wants.

    Named tags are wanted whether they are listed or not. Where several patterns choose a tag, a pin is recorded
    rather than a name, and a name rather than the first of the other patterns.
    """
    listed = set(listed)
    matched = [(pattern, pattern.matching(listed)) for pattern in tags]
    chosen: dict[str, Pattern] = {}
    for pattern, found in sorted(matched, key=lambda one: one[0].precedence):
        for tag in found:
            chosen.setdefault(tag, pattern)
    # Of the chosen tags only: `exclude: [{semver: ..., newest: 1}]` means the newest of what `tags` takes.
    excluded = {tag for pattern in exclude for tag in pattern.matching(chosen)}
    frozen = {tag for pattern in immutable for tag in pattern.matching(chosen)}
    return Selection(
        tuple(Chosen(tag, chosen[tag], tag in frozen) for tag in sorted(chosen.keys() - excluded)),
        tuple(Tally(str(pattern), len(found), len(found - excluded)) for pattern, found in matched),
    )
