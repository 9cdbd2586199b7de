"""Finds entries of mirrors.yaml that chose other tags in earlier releases, and says what to write for those. Pure.

An entry with a key that those releases did not have was written for this one, and needs no note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from reconciler.errors import Problem
from reconciler.mirrors.document import spell
from reconciler.mirrors.ranges import compile_range
from reconciler.regex import expression

if TYPE_CHECKING:
    from reconciler.mirrors.document import Document, KeyPath

Entry: TypeAlias = "Mapping[str, Any]"

_FORMER_KEYS = frozenset({"glob", "regex", "semver", "newest", "prereleases", "variant"})
_WILDCARD = expression(r"[*?\[]")
_DATE = (20240329,)
_SMALL = (1000,)


def _counts_versions(section: str, entry: Entry) -> bool:
    return section == "tags" and "newest" in entry and bool(_WILDCARD.search(entry.get("variant", "")))


def _counts_no_floating(section: str, entry: Entry) -> bool:
    return section == "tags" and "newest" in entry


def _freezes_no_floating(section: str, _entry: Entry) -> bool:
    return section == "immutable"


def _takes_no_dates(section: str, entry: Entry) -> bool:
    accepted = compile_range(entry["semver"])
    return section != "immutable" and accepted.contains(_DATE) and accepted.contains(_SMALL)


def _takes_builds(section: str, entry: Entry) -> bool:
    return section != "immutable" and not entry.get("variant", "").startswith("*")


def _takes_prereleases(_section: str, entry: Entry) -> bool:
    return compile_range(entry["semver"]).prereleases and not entry.get("prereleases")


CHANGES: Mapping[str, Callable[[str, Entry], bool]] = {
    "`newest` counts a version once with all its variants; it used to count each variant separately: "
    "for that, add `per: variant`": _counts_versions,
    "`newest` leaves out floating tags, e.g. 3.20 beside 3.20.1, which used to take places: "
    "`floating: true` adds those of the chosen lines": _counts_no_floating,
    "floating tags, e.g. 3.20 beside 3.20.1, are no longer immutable, because they move: "
    "`glob` and `regex` still match them": _freezes_no_floating,
    "a number of five or more digits alone, e.g. 20240329, and a date among versions with small numbers are no longer "
    'versions: for those, add an entry whose range begins with one, e.g. `semver: ">=20000101"`': _takes_no_dates,
    "a build, a revision, a date or hash after the version, e.g. 3.12.0-1, is no longer part of the variant, so such "
    "tags match too: to leave some out, add them to the entry's `exclude`": _takes_builds,
    "the range names a pre-release, so pre-releases match too: to leave them out, name the release": _takes_prereleases,
}
"""What has changed, and what to write for the former meaning -> whether it can change what an entry chooses."""


def changed_entries(document: Document) -> Iterator[Problem]:
    """Yields a note for every entry and each change that may let it choose other tags than in earlier releases."""
    for place, entry in _former_ranges(document):
        section = str(place[-2])
        for words, concerns in CHANGES.items():
            if concerns(section, entry):
                written = document.written[place]
                yield Problem(document.file, written.line, written.column, spell(place), words)


def _former_ranges(document: Document) -> Iterator[tuple[KeyPath, Entry]]:
    """The entries with a range, as earlier releases knew them, and where they are written."""
    around: list[tuple[KeyPath, Entry]] = [(("defaults",), document.value.get("defaults", {}))]
    around += [(("mirrors", number), one) for number, one in enumerate(document.value.get("mirrors", ()))]
    for place, settings in around:
        for section in ("tags", "exclude", "immutable"):
            for number, entry in enumerate(settings.get(section, ())):
                if isinstance(entry, dict) and isinstance(entry.get("semver"), str) and _is_former(entry):
                    yield (*place, section, number), entry


def _is_former(entry: Entry) -> bool:
    return entry.keys() <= _FORMER_KEYS and not any(isinstance(value, list) for value in entry.values())
