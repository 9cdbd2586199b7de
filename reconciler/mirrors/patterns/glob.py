"""Shell-style patterns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from reconciler.frozen import Frozen
from reconciler.mirrors.patterns.condition import Condition

if TYPE_CHECKING:
    from reconciler.mirrors.tag_list import TagList


class Glob(Frozen, Condition):
    """`*`, `?` and `[...]`; matches the whole tag, case-sensitive. Takes linear time."""

    pattern: str

    def refusal(self, tag: str, listed: TagList) -> str | None:  # noqa: ARG002 it looks at the tag alone
        return None if fnmatchcase(tag, self.pattern) else "does not match the glob"

    def __str__(self) -> str:
        return f'glob "{self.pattern}"'

    def alternatives(self) -> Iterator[Mapping[str, Any]]:
        glob = self.pattern
        # A `v` too many or too few, the wrong case, a range or an expression under the wrong key, a missing `*`.
        yield from ({"glob": text} for text in (f"v{glob}", glob.removeprefix("v"), glob.lower()))
        yield {"semver": glob}
        yield {"regex": glob}
        yield from ({"glob": text} for text in (f"{glob}*", f"*{glob}*"))
