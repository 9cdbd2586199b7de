"""Ranges of versions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from reconciler.mirrors.patterns.newest import newest_of_each
from reconciler.mirrors.patterns.pattern import Pattern
from reconciler.mirrors.ranges import compile_range
from reconciler.mirrors.versions import parse_version

if TYPE_CHECKING:
    from reconciler.mirrors.versions import Version


@dataclass(frozen=True)
class Semver(Pattern):
    """Tags that are versions in a range.

    range        as `ranges` reads it
    newest       how many of them, counted for each variant apart; None: all
    prereleases  whether pre-releases are taken too; a range that names one takes them in any case
    variant      a glob; the empty one takes only tags without a variant
    """

    range: str
    newest: int | None = None
    prereleases: bool = False
    variant: str = ""

    def problem(self) -> str | None:
        try:
            compile_range(self.range)
        except ValueError as error:
            return f"{self.range[:90]!r} is not a valid range of versions: {error}"
        return None

    def matching(self, listed: Iterable[str]) -> set[str]:
        versions = {version for tag in set(listed) if (version := parse_version(tag)) and self._takes(version)}
        return {version.tag for version in newest_of_each(versions, self.newest, lambda version: version.variant)}

    def __str__(self) -> str:
        newest = f", newest {self.newest}" if self.newest else ""
        prereleases = ", with pre-releases" if self.prereleases else ""
        variant = f', variant "{self.variant}"' if self.variant else ""
        return f'semver "{self.range}"{newest}{prereleases}{variant}'

    @property
    def is_relative(self) -> bool:
        return self.newest is not None

    def alternatives(self) -> Iterator[Mapping[str, Any]]:
        entry = {"semver" if key == "range" else key: value for key, value in asdict(self).items()}
        yield {**entry, "prereleases": True}
        yield {**entry, "variant": "*"}
        yield {**entry, "prereleases": True, "variant": "*"}

    def _takes(self, version: Version) -> bool:
        """Returns whether the version is in the range, pre-releases by their numbers: 3.18-rc1 is in >=3.18."""
        range_ = compile_range(self.range)
        if version.prerelease and not (self.prereleases or range_.prereleases):
            return False
        return fnmatchcase(version.variant, self.variant) and range_.contains(version.numbers, version.prerelease)
