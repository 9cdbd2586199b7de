"""Why a pattern chooses nothing: what the source has instead, and what would nearly have matched. Pure.

A near miss is another pattern, such as a user may have meant: it is tried on the same list, and named if it matches.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from reconciler.mirrors.patterns import (
    Exact,
    Glob,
    Pattern,
    Pinned,
    Regex,
    Semver,
    compile_range,
    compile_regex,
    matching,
    spell_pattern,
)
from reconciler.mirrors.versions import Version, parse_version

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from reconciler.mirrors.patterns import Tally


def empty_handed(
    patterns: Iterable[Pattern], tallies: Iterable[Tally], listed: Collection[str] | None
) -> tuple[str, ...]:
    """A sentence for each pattern that chooses none of the tags that the source lists (None: nobody needed the list).

    `tallies` are those of `patterns`, in the same order.
    """
    if listed is None:
        return ()
    return tuple(
        _why(pattern, tally, listed) for pattern, tally in zip(patterns, tallies, strict=True) if not tally.chosen
    )


def _why(pattern: Pattern, tally: Tally, listed: Collection[str]) -> str:
    words = f"{tally.pattern} chooses none of {len(listed)} tag{'s' * (len(listed) != 1)}"
    if tally.matched:
        return f"{words}: exclude takes all that match, {tally.matched} of them"
    if not listed:
        return words
    newest = newest_of(listed)
    words += f"; newest is {newest}" if newest else f"; none of them is a version, e.g. {min(listed)}"
    near = next(((other, found) for other in _alternatives(pattern) if (found := matching(other, listed))), None)
    if near is None:
        return words
    other, found = near
    return f"{words}; {spell_pattern(other)} would choose {len(found)}, e.g. {newest_of(found) or min(found)}"


def newest_of(tags: Iterable[str]) -> str | None:
    """The newest of the tags that are versions: a release before pre-releases, without a variant before others."""
    versions = [version for tag in tags if (version := parse_version(tag))]
    return max(versions, key=_standing).tag if versions else None


def _standing(version: Version) -> tuple[bool, bool, Version]:
    return not version.prerelease, not version.variant, version


def _alternatives(pattern: Pattern) -> Iterator[Pattern]:
    """What may have been meant instead, the nearest first."""
    match pattern:
        case Exact() | Pinned():
            return
        case Semver():
            yield from _wider(pattern)
        case Glob(glob):
            yield from (Glob(text) for text in (f"v{glob}", glob.removeprefix("v"), glob.lower()))
            yield from _sound(Semver(glob), Regex(glob))
            yield from (Glob(f"{glob}*"), Glob(f"*{glob}*"))
        case Regex(regex):
            group = f"(?:{regex})" if "|" in regex else regex
            yield Glob(regex)
            yield from _sound(Regex(f"v?{group}"), Regex(f"(?i){regex}"), Regex(f"{group}.*"), Regex(f".*{group}.*"))
        case _:
            assert_never(pattern)


def _wider(pattern: Semver) -> Iterator[Semver]:
    with_prereleases = replace(pattern, prereleases=True)
    yield with_prereleases
    yield replace(pattern, variant="*")
    yield replace(with_prereleases, variant="*")


def _sound(*patterns: Semver | Regex) -> Iterator[Pattern]:
    """Those of a form that was guessed which are valid in it."""
    import re2

    for pattern in patterns:
        with suppress(ValueError, re2.error):
            compile_range(pattern.range) if isinstance(pattern, Semver) else compile_regex(pattern.pattern)
            yield pattern
