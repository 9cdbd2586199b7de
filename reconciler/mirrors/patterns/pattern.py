"""Defines what every kind of pattern can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from reconciler.mirrors.tag_list import TagList, as_tag_list


class PatternError(ValueError):
    """A pattern is not valid.

    key  the key of the entry whose value is wrong; None if the entry is a text
    """

    def __init__(self, message: str, key: str | None = None) -> None:
        super().__init__(message, key)
        self.message = message
        self.key = key


class Pattern(ABC):
    """Chooses tags of a source's list. Subclasses are frozen dataclasses."""

    precedence: ClassVar[int] = 2
    """Decides which of several patterns is recorded as the reason for a tag: the lowest, then the first in the file."""

    def problem(self) -> str | None:
        """Returns what is wrong with the pattern, None if it is valid."""
        return None

    def matching(self, listed: Iterable[str], among: Collection[str] | None = None) -> set[str]:
        """Returns the tags that the pattern chooses.

        listed  the source's tags, which decide what is a version
        among   the tags to choose from; None: all that are listed
        """
        tags = as_tag_list(listed)
        among = tags if among is None else among
        return set(among) - self.reasons(tags, among).keys()

    @abstractmethod
    def reasons(self, listed: TagList, among: Collection[str]) -> dict[str, str]:
        """Returns the tags among these that the pattern does not choose, each with the reason."""

    @abstractmethod
    def __str__(self) -> str:
        """Spells the pattern as plans and reviews show it."""

    def may_choose(self, tag: str) -> bool:
        """Returns whether there is a list of tags from which the pattern chooses `tag`."""
        return tag in self.matching([tag])

    @property
    def is_relative(self) -> bool:
        """Whether what the pattern chooses depends on which other tags there are."""
        return False

    @property
    def means_versions(self) -> bool:
        """Whether it speaks of versions, so that as `immutable` it leaves out the names that move between them."""
        return False

    @property
    def uncounted(self) -> Pattern:
        """The pattern without what it counts: all tags that meet its conditions."""
        return self

    @property
    def groups(self) -> frozenset[str]:
        """The groups, by number or name, that `captured` has of every tag that the pattern chooses."""
        return frozenset()

    def captured(self, tag: str) -> Mapping[str, str] | None:  # noqa: ARG002 it is for regexes
        """Returns what the groups capture of a tag, None if they do not match it."""
        return None

    def alternatives(self) -> Iterator[Mapping[str, Any]]:
        """Yields entries that the author may have meant, the nearest first, for a pattern that chooses nothing.

        Some of them may not be valid.
        """
        yield from ()
