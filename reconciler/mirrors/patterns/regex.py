"""Regular expressions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.mirrors.patterns.pattern import Pattern
from reconciler.regex import compile_regex


@dataclass(frozen=True)
class Regex(Pattern):
    """RE2's syntax; matches the whole tag."""

    pattern: str

    def problem(self) -> str | None:
        try:
            compile_regex(self.pattern)
        except ValueError as error:
            return f"RE2 rejects it: {error}; RE2 supports neither lookaround nor backreferences"
        return None

    def matching(self, listed: Iterable[str]) -> set[str]:
        expression = compile_regex(self.pattern)
        return {tag for tag in listed if expression.fullmatch(tag)}

    def __str__(self) -> str:
        return f'regex "{self.pattern}"'

    def alternatives(self) -> Iterator[Mapping[str, Any]]:
        regex = self.pattern
        # Without the group, `v?` would be part of the first alternative only.
        group = f"(?:{regex})" if "|" in regex else regex
        yield {"glob": regex}
        yield from ({"regex": text} for text in (f"v?{group}", f"(?i){regex}", f"{group}.*", f".*{group}.*"))
