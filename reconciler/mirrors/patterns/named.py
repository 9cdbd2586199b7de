"""Tags by name, either at the digest that the source has or pinned to one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from reconciler.errors import Malformed
from reconciler.frozen import Frozen
from reconciler.mirrors.patterns.pattern import Pattern, PatternError
from reconciler.mirrors.spelling import spelled
from reconciler.oci.spec import Digest, is_tag

if TYPE_CHECKING:
    from reconciler.mirrors.tag_list import TagList


class Named(Frozen, Pattern):
    """A pattern that names its tag, which is chosen whether the source lists it or not."""

    tag: str

    def matching(self, listed: Iterable[str], among: Collection[str] | None = None) -> set[str]:  # noqa: ARG002 a name needs no list
        return {self.tag}

    def reasons(self, listed: TagList, among: Collection[str]) -> dict[str, str]:  # noqa: ARG002 a name needs no list
        return {tag: f"not {self.tag}" for tag in among if tag != self.tag}

    def may_choose(self, tag: str) -> bool:
        return tag == self.tag


class Exact(Named):
    """One tag, at the digest that it points to at the source."""

    precedence: ClassVar[int] = 1

    def __str__(self) -> str:
        return self.tag


class Pinned(Named):
    """One tag at one digest, even if the tag points to another at the source."""

    precedence: ClassVar[int] = 0

    digest: Digest

    def __str__(self) -> str:
        return f"{self.tag}@{self.digest}"


class Locked(Pinned):
    """One tag at the digest that mirrors.lock has for it.

    Unlike for a pin, no person has vouched for its digest: it waits for `min_age`, and no immutable tag moves to it.

    since    when the digest was first seen under the tag, as mirrors.lock has it; None: it does not say
    by_name  whether mirrors.yaml names the tag, rather than choosing it by a pattern
    name     its name in the store; None: the same
    """

    since: datetime | None = None
    by_name: bool = False
    name: str | None = None


def parse_name(text: str) -> Named:
    """Parses `NAME` or `NAME@DIGEST`. Raises `PatternError`."""
    tag, at, digest = text.partition("@")
    if not is_tag(tag):
        kind = "semver" if tag[:1] in tuple("<>=^~!") else "glob" if set(tag) & set("*?[") else None
        instead = f"; for a pattern write {kind}: {spelled(tag)}" if kind else ""
        raise PatternError(
            f"{tag[:90]!r} is not a valid tag: expected at most 128 letters, digits, _ . and -, "
            f"of which . and - cannot come first{instead}"
        )
    try:
        return Pinned(tag, Digest.parse(digest)) if at else Exact(tag)
    except Malformed as error:
        raise PatternError(str(error)) from None
