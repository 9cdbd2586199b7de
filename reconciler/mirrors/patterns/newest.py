"""Limits how many of the matching tags a pattern keeps: the newest of each group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.mirrors.versions import Version


def newest_of_each(
    versions: Iterable[Version], count: int | None, group: Callable[[Version], str]
) -> Iterator[Version]:
    """Yields the newest `count` versions of each group; all of them if `count` is None."""
    groups: defaultdict[str, list[Version]] = defaultdict(list)
    for version in versions:
        groups[group(version)].append(version)
    for members in groups.values():
        yield from sorted(members, reverse=True)[:count]
