"""Defines what every kind of pattern can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar


class PatternError(ValueError):
    """A pattern is not valid.

    key  the key of the entry whose value is wrong; None if the entry is a text
    """

    def __init__(self, message: str, key: str | None = None) -> None:
        super().__init__(message, key)
        self.message = message
        self.key = key


class Pattern(ABC):
    """Chooses tags of a source's list. Subclasses are frozen dataclasses.

    The first field holds the value of the kind's own key in mirrors.yaml; every other field has the name of the key
    that sets it.
    """

    precedence: ClassVar[int] = 2
    """Decides which of several patterns is recorded as the reason for a tag: the lowest, then the first in the file."""

    def problem(self) -> str | None:
        """Returns what is wrong with the pattern, None if it is valid."""
        return None

    @abstractmethod
    def matching(self, listed: Iterable[str]) -> set[str]:
        """Returns the listed tags that the pattern chooses."""

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

    def alternatives(self) -> Iterator[Mapping[str, Any]]:
        """Yields entries that the author may have meant, the nearest first, for a pattern that chooses nothing.

        Some of them may not be valid.
        """
        yield from ()
