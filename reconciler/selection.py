"""Which tags a mirror wants: patterns x the source's tag list -> chosen tags, each with the pattern that chose it.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.oci import Digest


@dataclass(frozen=True)
class Exact:
    """One tag by name."""

    tag: str


@dataclass(frozen=True)
class Pinned:
    """One tag at one digest: this digest or an error, whatever the tag points at upstream."""

    tag: str
    digest: Digest


@dataclass(frozen=True)
class Glob:
    """Shell-style: `*`, `?`, `[...]`; the whole tag, case-sensitive."""

    pattern: str


@dataclass(frozen=True)
class Regex:
    """RE2 syntax; the whole tag."""

    pattern: str


@dataclass(frozen=True)
class Semver:
    """Tags that are versions in `range`; of those the `newest` (None: all), counted for each variant apart."""

    range: str
    newest: int | None = None
    prereleases: bool = False
    variant: str = ""


Pattern: TypeAlias = Exact | Pinned | Glob | Regex | Semver


@dataclass(frozen=True)
class Chosen:
    """A tag that a mirror wants, the pattern that chose it first, and whether it is never asked for again."""

    tag: str
    pattern: Pattern
    immutable: bool


def needs_listing(patterns: Iterable[Pattern]) -> bool:
    """Whether the source's tag list is needed to know what these patterns choose."""
    return not all(isinstance(pattern, Exact | Pinned) for pattern in patterns)


def select(
    tags: Iterable[Pattern], exclude: Iterable[Pattern], immutable: Iterable[Pattern], listed: Iterable[str]
) -> tuple[Chosen, ...]:
    """The wanted tags in the order of their names, each once."""
    raise NotImplementedError
