"""A table whose rows are in modules of their own, each of which is loaded when its row is looked up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

Row = TypeVar("Row")


def at(place: str) -> Any:
    """Imports the module of a place, `package.module:name`, and returns what has that name there."""
    module, _, name = place.partition(":")
    # Not by importlib, whose imports `python -X importtime` leaves out.
    return getattr(__import__(module, fromlist=[name]), name)


class Rows(Mapping[str, Row]):
    """What a run does not look up, it does not load. `places`: where each row is, as `package.module:name`."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places

    def __getitem__(self, key: str) -> Row:
        row: Row = at(self._places[key])
        return row

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
