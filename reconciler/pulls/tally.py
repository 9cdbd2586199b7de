"""Counts names within a bounded memory, whatever clients ask for. Pure.

Source: J. Misra, D. Gries, "Finding repeated elements", Science of Computer Programming 2 (1982).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

Name: TypeAlias = tuple[str, str]
"""A repository and a tag, both parsed by the specification's grammar."""


class Tally:
    """Counts up to `limit` different names. Counts are exact up to that number of names, and lower bounds beyond it.

    When a new name finds no place, every count is reduced by one. So a name is short by one in `limit` of all requests
    at most, and a flood of invented names cannot hide what is asked for often.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counts: dict[Name, int] = {}

    @property
    def counts(self) -> Mapping[Name, int]:
        return MappingProxyType(self._counts)

    def add(self, name: Name) -> None:
        """Counts a name once."""
        if name in self._counts or len(self._counts) < self._limit:
            self._counts[name] = self._counts.get(name, 0) + 1
        else:
            self._counts = {known: count - 1 for known, count in self._counts.items() if count > 1}
