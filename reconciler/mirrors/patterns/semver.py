"""Ranges of versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from reconciler.frozen import Frozen
from reconciler.mirrors.patterns.condition import Condition
from reconciler.mirrors.ranges import compile_range
from reconciler.mirrors.tag_list import HUGE, LEAST_YEAR, is_dated, is_lone_number

if TYPE_CHECKING:
    from reconciler.mirrors.ranges import Range
    from reconciler.mirrors.tag_list import TagList
    from reconciler.mirrors.versions import Version


class Semver(Frozen, Condition):
    """Tags that are versions in a range.

    range        as `ranges` reads it
    prereleases  whether pre-releases are taken too; a range that names one takes them in any case
    variant      globs; the empty one takes only tags without a variant
    """

    range: str
    prereleases: bool = False
    variant: str | tuple[str, ...] = ""

    def problem(self) -> str | None:
        try:
            compile_range(self.range)
        except ValueError as error:
            return f"{self.range[:90]!r} is not a valid range of versions: {error}"
        return None

    def refusal(self, tag: str, listed: TagList) -> str | None:
        version = listed.version(tag)
        if version is None:
            return "not a version"
        range_ = compile_range(self.range)
        return (
            self._refusal_of_name(version, range_)
            or _stray(version, range_, listed)
            or (None if range_.contains(version.numbers, version.prerelease) else "outside the range")
        )

    def refusal_of_name(self, tag: str, listed: TagList) -> str | None:
        """Returns why a floating tag is refused. Its numbers need not be in the range: 3 is not in >=3.18."""
        version = listed.version(tag)
        return self._refusal_of_name(version, compile_range(self.range)) if version else "not a version"

    @property
    def means_versions(self) -> bool:
        return True

    def __str__(self) -> str:
        prereleases = ", with pre-releases" if self.prereleases else ""
        variants = " or ".join(f'"{one}"' for one in self._variants)
        return f'semver "{self.range}"{prereleases}{f", variant {variants}" if self.variant else ""}'

    def alternatives(self) -> Iterator[Mapping[str, Any]]:
        entry = {"semver" if key == "range" else key: value for key, value in asdict(self).items()}
        yield {**entry, "prereleases": True}
        yield {**entry, "variant": "*"}
        yield {**entry, "prereleases": True, "variant": "*"}

    @property
    def _variants(self) -> tuple[str, ...]:
        return (self.variant,) if isinstance(self.variant, str) else self.variant

    def _refusal_of_name(self, version: Version, range_: Range) -> str | None:
        if version.prerelease and not (self.prereleases or range_.prereleases):
            return "a pre-release"
        return None if _is_of_variant(self._variants, version.variant, version.suffix) else "of another variant"


@lru_cache(maxsize=4096)
def _is_of_variant(globs: tuple[str, ...], variant: str, suffix: str) -> bool:
    # Builds and revisions were once part of the variant: `r*` still means 5.7.21-r13.
    return any(not variant if not glob else fnmatchcase(variant, glob) or fnmatchcase(suffix, glob) for glob in globs)


def _stray(version: Version, range_: Range, listed: TagList) -> str | None:
    """Why numbers as large as a date are not a version here, None if they are one."""
    size = HUGE if version.numbers[0] >= HUGE else LEAST_YEAR
    if not is_dated(version.numbers) or range_.largest >= size:
        return None
    if is_lone_number(version.numbers):
        return "a number of five or more digits alone is not a version, unless the range begins at one"
    return "a date among versions with smaller numbers" if listed.dates_are_strays else None
