"""Warns of patterns with `newest` whose newest tags are hardly the ones that are meant. Pure.

- numbers far above those of most versions, e.g. a date
- old versions, because the newest tags that match are floating ones
- pre-releases, because a glob or a regex does not tell them from releases
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
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
    taken: defaultdict[Pattern, list[Version]] = defaultdict(list)
    for one in chosen:
        version = tags.version(one.tag) if one.pattern.is_relative else None
        if version:
            taken[one.pattern].append(version)
    found = (ask(pattern, versions, tags) for pattern, versions in taken.items() for ask in _ASKED)
    return tuple(words for words in found if words)


def _far_above(pattern: Pattern, taken: Collection[Version], tags: TagList) -> str | None:
    least = FAR_ABOVE * (_begins(pattern) + 1)
    large = [version for version in taken if version.numbers[0] > least]
    # Most lists have no such numbers, and need not be parsed.
    return _out_of_line(pattern, large, _Line(tags)) if large else None


def _only_names(pattern: Pattern, taken: Collection[Version], tags: TagList) -> str | None:
    """Whether the newest of the matching tags are floating ones, while the versions that they name do not match."""
    if not isinstance(pattern, Entry) or pattern.kept.floating is not None or pattern.kept.order is not None:
        return None
    newest = max(taken)
    versions = (version for tag in tags if (version := tags.version(tag)))
    newer = sorted(one for one in versions if one.numbers > newest.numbers)
    names = {one.tag: named for one in newer if (named := tags.named_by(one))}
    matching = pattern.uncounted.matching(tags, {*names, *(named.tag for named in names.values())})
    left_out = [tag for tag in names if tag in matching and names[tag].tag not in matching]
    if not left_out:
        return None
    return (
        f"{pattern} takes {newest.tag} and no newer ones, because {_named(left_out)} are floating tags; "
        "`order: number` counts those too, `floating: false` says that they are not meant"
    )


def _prereleases(pattern: Pattern, taken: Collection[Version], tags: TagList) -> str | None:
    """Whether a pattern that says nothing about pre-releases takes them in the place of releases."""
    found = sorted(version for version in taken if version.prerelease)
    if not found or _ranges(pattern):
        return None
    matching = pattern.uncounted.matching(tags)
    if not any((version := tags.version(tag)) and not version.prerelease for tag in matching):
        return None
    return (
        f'{pattern} takes pre-releases: {_named([one.tag for one in found])}; add `semver: "*"` to leave them out, and '
        "`prereleases: true` besides if they are meant"
    )


_ASKED = (_far_above, _only_names, _prereleases)


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


def _out_of_line(pattern: Pattern, large: Iterable[Version], line: _Line) -> str | None:
    odd = sorted(filter(line.is_left_by, large))
    if not odd or not line.newest:
        return None
    taken = _named([one.tag for one in odd])
    return (
        f"{pattern} takes {taken}, far above {line.newest.tag}, the newest of most versions; "
        f"exclude what is a date or a build, or write a semver range that begins at {odd[0].numbers[0]} if it is meant"
    )


def _named(tags: Sequence[str]) -> str:
    return ", ".join(tags[:NAMED]) + (f" and {len(tags) - NAMED} more" if tags[NAMED:] else "")


def _begins(pattern: Pattern) -> int:
    """Returns the largest number that a range of the pattern begins at."""
    return max((compile_range(one.range).largest for one in _ranges(pattern)), default=0)


def _ranges(pattern: Pattern) -> list[Semver]:
    match pattern:
        case Semver():
            return [pattern]
        case Entry() | AnyOf():
            return [range_ for one in pattern.conditions for range_ in _ranges(one)]
        case _:
            return []
