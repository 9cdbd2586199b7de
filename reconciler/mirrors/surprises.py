"""Warns of patterns with `newest` whose newest tags are hardly the ones that are meant. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

from reconciler.mirrors.patterns import AnyOf, Entry, Semver
from reconciler.mirrors.ranges import compile_range
from reconciler.mirrors.tag_list import as_tag_list, is_dated

if TYPE_CHECKING:
    from reconciler.mirrors.patterns import Pattern
    from reconciler.mirrors.selection import Chosen
    from reconciler.mirrors.tag_list import TagList
    from reconciler.mirrors.versions import Version

FAR_ABOVE = 10
"""How many times the next major number a major number has to be, to be out of line."""

NAMED = 3
"""How many tags a warning names."""


def surprises(chosen: Iterable[Chosen], listed: Collection[str]) -> tuple[str, ...]:
    """Returns a sentence for each pattern that counts versions and takes some that are out of line with the others.

    A range that begins at numbers of that size means them.
    """
    tags = as_tag_list(listed)
    large: defaultdict[Pattern, list[Version]] = defaultdict(list)
    for one in chosen:
        version = tags.version(one.tag) if one.pattern.is_relative else None
        if version and version.numbers[0] > FAR_ABOVE * (_begins(one.pattern) + 1):
            large[one.pattern].append(version)
    # Most lists have no such numbers, and need not be parsed.
    line = _Line(tags) if large else None
    return tuple(words for one, versions in large.items() if line and (words := _surprise(one, versions, line)))


class _Line:
    """What most versions of a list have in common: small numbers, and major numbers near each other."""

    def __init__(self, tags: TagList) -> None:
        self._tags = tags
        versions = [version for tag in tags if (version := tags.version(tag)) and not version.prerelease]
        self._ceiling = _ceiling(Counter(version.numbers[0] for version in versions))
        self.newest = max((one for one in versions if not self.is_left_by(one)), default=None)

    def is_left_by(self, version: Version) -> bool:
        is_date = is_dated(version.numbers) and self._tags.dates_are_strays
        return is_date or (self._ceiling is not None and version.numbers[0] >= self._ceiling)


def _ceiling(majors: Mapping[int, int]) -> int | None:
    """Returns the major number that is far above the one before it and leaves most versions below; None if none is."""
    below = 0
    for lower, upper in pairwise(sorted(majors)):
        below += majors[lower]
        if upper > FAR_ABOVE * (lower + 1) and 2 * below > sum(majors.values()):
            return upper
    return None


def _surprise(pattern: Pattern, large: Iterable[Version], line: _Line) -> str | None:
    odd = sorted(filter(line.is_left_by, large))
    if not odd or not line.newest:
        return None
    names = ", ".join(version.tag for version in odd[:NAMED]) + (f" and {len(odd) - NAMED} more" if odd[NAMED:] else "")
    return (
        f"{pattern} takes {names}, far above {line.newest.tag}, the newest of most versions; exclude what is a date or "
        f"a build, or write a semver range that begins at {odd[0].numbers[0]} if it is meant"
    )


def _begins(pattern: object) -> int:
    """Returns the largest number that a range of the pattern begins at."""
    match pattern:
        case Semver():
            return compile_range(pattern.range).largest
        case Entry() | AnyOf():
            return max(map(_begins, pattern.conditions), default=0)
        case _:
            return 0
