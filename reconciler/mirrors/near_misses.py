"""Explains why a pattern chooses nothing: what the source has instead, and which similar pattern would match. Pure.

The similar patterns are the pattern's own `alternatives`, tried on the same list.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.mirrors.patterns import Condition, Entry, Kept, PatternError, parse_pattern
from reconciler.mirrors.tag_list import as_tag_list, is_lone_number

if TYPE_CHECKING:
    from reconciler.mirrors.patterns import Pattern
    from reconciler.mirrors.selection import Tally
    from reconciler.mirrors.tag_list import TagList
    from reconciler.mirrors.versions import Version


def empty_handed(
    patterns: Iterable[Pattern], tallies: Iterable[Tally], listed: Collection[str] | None
) -> tuple[str, ...]:
    """Returns a sentence for each pattern that chooses none of the tags that the source lists.

    tallies  those of `patterns`, in the same order
    listed   None: the list was not needed
    """
    if listed is None:
        return ()
    tags = as_tag_list(listed)
    return tuple(
        _why(pattern, tally, tags) for pattern, tally in zip(patterns, tallies, strict=True) if not tally.chosen
    )


def _why(pattern: Pattern, tally: Tally, listed: TagList) -> str:
    words = f"{tally.pattern} chooses none of {len(listed)} tag{'s' * (len(listed) != 1)}"
    if tally.matched:
        return f"{words}: exclude removes all {tally.matched} that match"
    if not listed:
        return words
    newest = newest_of(listed)
    instead = ": choose by glob or regex" if pattern.uncounted.means_versions else ""
    words += f"; newest is {newest}" if newest else f"; none of them is a version, e.g. {min(listed)}{instead}"
    words += _met(pattern, listed)
    near = next(((other, found) for other in _alternatives(pattern) if (found := other.matching(listed))), None)
    if near is None:
        return words
    other, found = near
    return f"{words}; {other} would choose {len(found)}, e.g. {newest_of(listed.of(found)) or min(found)}"


def _met(pattern: Pattern, listed: TagList) -> str:
    """How many tags meet the conditions of the pattern, and why the newest of them does not count; empty if none do."""
    met = pattern.uncounted.matching(listed) if pattern.is_relative else set()
    if not met:
        return ""
    newest = newest_of(listed.of(met)) or min(met)
    return f"; {len(met)} match, but {newest} is {pattern.reasons(listed, (newest,))[newest]}"


def newest_of(tags: Iterable[str]) -> str | None:
    """Returns the newest of the tags that are versions, None if there is none.

    Releases win over pre-releases, and versions without a variant over others.
    """
    listed = as_tag_list(tags)
    versions = [version for tag in listed if (version := listed.version(tag))]
    versions = [version for version in versions if not is_lone_number(version.numbers)] or versions
    return max(versions, key=_standing).tag if versions else None


def _standing(version: Version) -> tuple[bool, bool, Version]:
    return not version.prerelease, not version.variant, version


def _alternatives(pattern: Pattern) -> Iterator[Pattern]:
    """The valid ones of the patterns that may have been meant, the nearest first."""
    if isinstance(pattern, Entry):
        if pattern.kept.newest and pattern.kept.order is None:
            # Where all that match are floating tags or no versions, their text has an order.
            yield replace(pattern, kept=Kept(pattern.kept.newest, order="number"))
        for place, condition in enumerate(pattern.conditions):
            for other in _alternatives(condition):
                if isinstance(other, Condition):
                    before, after = pattern.conditions[:place], pattern.conditions[place + 1 :]
                    yield replace(pattern, conditions=(*before, other, *after))
    for entry in pattern.alternatives():
        with suppress(PatternError):
            yield parse_pattern(entry)
