"""Finds the files that `include` of mirrors.yaml names. Pure, but for the listings of folders that it gets.

A pattern is relative to the folder of the including file, and stays in it. Each part of it may have `*`, `?` and
`[...]`; a name that begins with a dot has to be written out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from reconciler.mirrors.document import Document, KeyPath

MAX_FILES = 100
MAX_ENTRIES = 10_000
"""Names in the folders that one pattern has to go through."""

Listing: TypeAlias = "Callable[[str], Sequence[str]]"
"""Returns the names in a folder, which is relative to that of the including file; none of what is not a folder."""

_WILDCARDS = frozenset("*?[")


def find_included(document: Document, listing: Listing, own_name: str) -> dict[str, KeyPath]:
    """Returns the included files, sorted, each with the place that names it; records patterns that are of no use.

    own_name  the name of the including file, which does not include itself
    """
    found: dict[str, KeyPath] = {}
    for number, pattern in enumerate(document.sound(()).get("include", ())):
        place: KeyPath = ("include", number)
        if document.wrong(place):
            continue
        problem = _pattern_problem(pattern)
        if problem:
            document.problem(place, f"{pattern[:90]!r} {problem}")
            continue
        try:
            names = [name for name in matches(pattern, listing) if name != own_name]
        except ValueError as error:
            document.problem(place, f"{pattern[:90]!r} {error}")
            continue
        if not names:
            document.problem(place, f"{pattern[:90]!r} matches no file; create one, correct the pattern, or remove it")
        for name in names:
            found.setdefault(name, place)
    if len(found) > MAX_FILES:
        document.problem(("include",), f"matches {len(found)} files, the maximum is {MAX_FILES}; merge some of them")
        return {}
    return dict(sorted(found.items()))


def _pattern_problem(pattern: Any) -> str | None:
    parts = pattern.split("/")
    if pattern.startswith(("/", "~")) or ".." in parts:
        return "leads out of the folder of this file; move the included files below it, and write e.g. teams/*.yaml"
    if "**" in parts:
        return "has **, which is not supported; name the folders, e.g. teams/*/mirrors.yaml"
    if not all(parts):
        return "is not a path of files; write e.g. teams/*.yaml"
    return None


def matches(pattern: str, listing: Listing) -> list[str]:
    """Lists the names that a valid pattern matches, sorted. Raises `ValueError` if there are too many to go through."""
    folders, seen = [""], 0
    for part in (part for part in pattern.split("/") if part != "."):
        found = []
        for folder in folders:
            names = listing(folder)
            seen += len(names)
            if seen > MAX_ENTRIES:
                raise ValueError(f"goes through more than {MAX_ENTRIES} files; name the folders")
            found += [f"{folder}/{name}".removeprefix("/") for name in _matching(part, names)]
        folders = found
    return sorted(folders)


def _matching(part: str, names: Sequence[str]) -> Iterator[str]:
    if not _WILDCARDS & set(part):
        return (name for name in names if name == part)
    return (name for name in names if fnmatchcase(name, part) and (part.startswith(".") or not name.startswith(".")))
