"""Shell-style patterns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from reconciler.mirrors.patterns.pattern import Pattern


@dataclass(frozen=True)
class Glob(Pattern):
    """`*`, `?` and `[...]`; matches the whole tag, case-sensitive. Takes linear time."""

    pattern: str

    def matching(self, listed: Iterable[str]) -> set[str]:
        return {tag for tag in listed if fnmatchcase(tag, self.pattern)}

    def __str__(self) -> str:
        return f'glob "{self.pattern}"'

    def alternatives(self) -> Iterator[Mapping[str, Any]]:
        glob = self.pattern
        # A `v` too many or too few, the wrong case, a range or an expression under the wrong key, a missing `*`.
        yield from ({"glob": text} for text in (f"v{glob}", glob.removeprefix("v"), glob.lower()))
        yield {"semver": glob}
        yield {"regex": glob}
        yield from ({"glob": text} for text in (f"{glob}*", f"*{glob}*"))
