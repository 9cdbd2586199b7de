"""Ranges of versions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from reconciler.mirrors.patterns.newest import newest_of_each
from reconciler.mirrors.patterns.pattern import Pattern
from reconciler.mirrors.versions import parse_version

if TYPE_CHECKING:
    from reconciler.mirrors.versions import Version

_LEADING_ZEROS = re.compile(r"(?<![0-9A-Za-z])0+(?=[0-9])")


@dataclass(frozen=True)
class Semver(Pattern):
    """Tags that are versions in a range.

    range        in npm's syntax
    newest       how many of them, counted for each variant apart; None: all
    prereleases  whether pre-releases are taken too
    variant      a glob; the empty one takes only tags without a variant
    """

    range: str
    newest: int | None = None
    prereleases: bool = False
    variant: str = ""

    def problem(self) -> str | None:
        try:
            compile_range(self.range)
        except ValueError:
            return (
                f"{self.range[:90]!r} is not a range of versions of up to three numbers; "
                'write for example ">=3.18 <4" (no space after an operator), ^1.2 or 1.x'
            )
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
        """Compares the first three numbers only, so a pre-release is in the range if its release is."""
        if version.prerelease and not self.prereleases:
            return False
        if not fnmatchcase(version.variant, self.variant):
            return False
        from semantic_version import Version as Semantic  # see `compile_range`

        major, minor, patch, _ = version.numbers
        return compile_range(self.range).match(Semantic(major=major, minor=minor, patch=patch)) is True


@lru_cache(maxsize=256)
def compile_range(text: str) -> Any:
    """Compiles a range in npm's syntax. Leading zeros are allowed, since tags such as `24.04` have them.

    Raises `ValueError`.
    """
    # It takes 15 ms to import, for it reads its own version from what is installed, and not every file has ranges.
    from semantic_version import NpmSpec

    # NpmSpec takes strict semantic versions, which have no leading zeros.
    try:
        return NpmSpec(_LEADING_ZEROS.sub("", text))
    except Exception as error:  # noqa: BLE001 the library raises errors of all kinds for text that it does not expect
        raise ValueError(f"{type(error).__name__}: {error}") from None
