"""A source's tag list: what each tag is as a version, and which of them only look like one beside the others. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from itertools import filterfalse
from typing import TypeAlias

from reconciler.mirrors.versions import Numbers, Version, parse_version, place

HUGE = 10_000
"""A number of five or more digits is a date, a build or a commit."""

_FULL = 3
LEAST_YEAR = 1990
_YEARS = range(LEAST_YEAR, 2101)
_MONTHS = range(1, 13)


_Line: TypeAlias = tuple[str, Numbers, str]
"""The word of a pre-release, the first numbers, and the variant."""


class TagList(Collection[str]):
    """The tags of a list, each once. Versions are parsed when they are needed, and once."""

    def __init__(self, tags: Iterable[str]) -> None:
        self._tags = frozenset(tags)
        self._parsed: dict[str, Version | None] = {}

    def of(self, tags: Iterable[str]) -> TagList:
        """Returns a list of other tags. What is parsed for one of the two lists is not parsed again for the other."""
        other = TagList(tags)
        other._parsed = self._parsed
        return other

    def __contains__(self, tag: object) -> bool:
        return tag in self._tags

    def __iter__(self) -> Iterator[str]:
        return iter(self._tags)

    def __len__(self) -> int:
        return len(self._tags)

    def version(self, tag: str) -> Version | None:
        """Parses a tag, which need not be in the list."""
        try:
            return self._parsed[tag]
        except KeyError:
            return self._parsed.setdefault(tag, parse_version(tag))

    def in_order(self) -> list[str]:
        """Returns the tags: versions from the oldest on, then other names."""
        return sorted(self._tags, key=lambda tag: place(tag, self.version(tag)))

    @property
    def tags(self) -> frozenset[str]:
        return self._tags

    def without(self, tags: Collection[str]) -> frozenset[str]:
        """Returns the tags without these."""
        return self._tags.difference(tags) if tags else self._tags

    def floats(self, version: Version) -> bool:
        """Returns whether the tag is the name of another listed version, e.g. 3.20 beside 3.20.1."""
        if version.suffix != version.variant:
            return False
        if version.prerelease:
            word, number = version.prerelease[-1]
            return not number and (version.numbers, word) in self._numbered_prereleases
        return version.numbers in self._lines or (version.numbers, version.variant) in self._revised

    def may_float(self, tag: str) -> bool:
        """Returns whether a tag floats as far as the list tells. Without a list, versions of few numbers may."""
        version = self.version(tag)
        if version is None:
            return False
        short = not self._tags and len(version.numbers) < _FULL and not (version.prerelease or version.revision)
        return short or self.floats(version)

    def named_by(self, version: Version) -> Version | None:
        """Returns the version that a floating tag is a name of: the newest of its line and variant, None if none is."""
        return self._newest_of_line.get(_line(version, len(version.numbers))) if self.floats(version) else None

    @cached_property
    def dates_are_strays(self) -> bool:
        """Whether most versions have small numbers, so that 2021.11.28 is a date among them."""
        dated = [is_dated(version.numbers) for version in self._versions if not is_lone_number(version.numbers)]
        return 2 * sum(dated) < len(dated)

    @cached_property
    def _versions(self) -> tuple[Version, ...]:
        return tuple(version for tag in self._tags if (version := self.version(tag)))

    @cached_property
    def _lines(self) -> frozenset[Numbers]:
        # A candidate, 1.3.1-rc1, does not make 1.3 one of its names: it comes before the release.
        written = {version.numbers for version in self._versions if not version.prerelease}
        return frozenset(numbers[:length] for numbers in written for length in range(1, len(numbers)))

    @cached_property
    def _revised(self) -> frozenset[tuple[Numbers, str]]:
        """What has revisions. A tag without one is the name of the newest: 4.0.0 beside 4.0.0-ls331."""
        return frozenset((version.numbers, version.variant) for version in self._versions if version.revision)

    @cached_property
    def _newest_of_line(self) -> dict[_Line, Version]:
        newest: dict[_Line, Version] = {}
        for version in filterfalse(self.floats, self._versions):
            for length in range(1, len(version.numbers) + 1):
                line = _line(version, length)
                newest[line] = max(newest.get(line, version), version)
        return newest

    @cached_property
    def _numbered_prereleases(self) -> frozenset[tuple[Numbers, str]]:
        """What has numbered pre-releases. One without a number is the name of the newest: 1.26-rc beside 1.26rc2."""
        numbered = {(version.numbers, version.prerelease[-1]) for version in self._versions if version.prerelease}
        return frozenset(
            (numbers[:length], word)
            for numbers, (word, number) in numbered
            if number
            for length in range(1, len(numbers) + 1)
        )


def as_tag_list(listed: Iterable[str]) -> TagList:
    """Returns the list itself if it is one, so that its versions are parsed once."""
    return listed if isinstance(listed, TagList) else TagList(listed)


def _line(version: Version, length: int) -> _Line:
    return version.prerelease[-1][0] if version.prerelease else "", version.numbers[:length], version.variant


def is_lone_number(numbers: Numbers) -> bool:
    """Returns whether it is one number of five or more digits, e.g. 20240329 or 917005."""
    return len(numbers) == 1 and numbers[0] >= HUGE


def is_dated(numbers: Numbers) -> bool:
    """Returns whether the numbers may be those of a date, e.g. 2021.11.28 or 20210101.1."""
    return numbers[0] >= HUGE or (numbers[0] in _YEARS and (len(numbers) == 1 or numbers[1] in _MONTHS))
