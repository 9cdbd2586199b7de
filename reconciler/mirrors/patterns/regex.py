"""Regular expressions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from reconciler.frozen import Frozen
from reconciler.mirrors.patterns.condition import Condition
from reconciler.regex import compile_regex

if TYPE_CHECKING:
    from reconciler.mirrors.tag_list import TagList


class Regex(Frozen, Condition):
    """RE2's syntax; matches the whole tag. What its first group captures orders the tags."""

    pattern: str

    def problem(self) -> str | None:
        try:
            compile_regex(self.pattern)
        except ValueError as error:
            return f"RE2 rejects it: {error}; RE2 supports neither lookaround nor backreferences"
        return None

    def refusal(self, tag: str, listed: TagList) -> str | None:  # noqa: ARG002 it looks at the tag alone
        return None if compile_regex(self.pattern).fullmatch(tag) else "does not match the regex"

    @property
    def captures(self) -> bool:
        return bool(compile_regex(self.pattern).groups)

    def ordered_by(self, tag: str) -> str | None:
        match = compile_regex(self.pattern).fullmatch(tag) if self.captures else None
        captured: str | None = match.group(1) if match else None
        return captured

    @property
    def groups(self) -> frozenset[str]:
        regex = compile_regex(self.pattern)
        return frozenset((*map(str, range(1, regex.groups + 1)), *regex.groupindex))

    def captured(self, tag: str) -> Mapping[str, str] | None:
        match = compile_regex(self.pattern).fullmatch(tag)
        # A group that takes no part in the match captures nothing.
        return {name: match[int(name) if name.isdigit() else name] or "" for name in self.groups} if match else None

    def __str__(self) -> str:
        return f'regex "{self.pattern}"'

    def alternatives(self) -> Iterator[Mapping[str, Any]]:
        regex = self.pattern
        # Without the group, `v?` would be part of the first alternative only.
        group = f"(?:{regex})" if "|" in regex else regex
        yield {"glob": regex}
        yield from ({"regex": text} for text in (f"v?{group}", f"(?i){regex}", f"{group}.*", f".*{group}.*"))
