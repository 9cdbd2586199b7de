"""The counts of one writer on one day, and their JSON (`schema/pulls.schema.json`). Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from reconciler.errors import Malformed
from reconciler.frozen import Frozen
from reconciler.oci.spec import is_tag, load_json
from reconciler.target.layout import target_problem

if TYPE_CHECKING:
    from reconciler.pulls.tally import Name

MAX_PULLED = 10_000
MAX_MISSED = 1_000
"""Names of one writer and day: some 2 MiB of JSON at most with the longest names, and 100 KiB with usual ones."""

MAX_NAMES = 100_000
"""Names that are added up: some 20 MiB of memory."""

MAX_COUNT = 2**53
"""The largest number that JavaScript counts exactly."""

NOTHING: Mapping[Name, int] = {}


class Counts(Frozen):
    """How often clients asked for each tag.

    pulled  tags that the mirror has; a client resolves a tag once for each pull
    missed  tags that it does not have
    merged  the writers of the day whose counts are among these, and whose own objects no longer count
    """

    pulled: Mapping[Name, int]
    missed: Mapping[Name, int]
    merged: frozenset[str] = frozenset()


NO_COUNTS = Counts(NOTHING, NOTHING)


def total(parts: Iterable[Counts], most_pulled: int = MAX_NAMES, most_missed: int = MAX_NAMES) -> Counts:
    """Adds up the counts of several writers and days, of the names with the most where there are too many."""
    pulled: Counter[Name] = Counter()
    missed: Counter[Name] = Counter()
    for part in parts:
        pulled.update(part.pulled)
        missed.update(part.missed)
        # Names of misses come from clients, who may invent new ones for every object.
        pulled, missed = _most(pulled, most_pulled, 2), _most(missed, most_missed, 2)
    return Counts(_most(pulled, most_pulled, 1), _most(missed, most_missed, 1))


def _most(counts: Counter[Name], most: int, times: int) -> Counter[Name]:
    """The `most` names with the highest counts, if there are `times` as many."""
    return counts if len(counts) <= times * most else Counter(dict(counts.most_common(most)))


def counts_bytes(day: date, counts: Counts) -> bytes:
    """Writes the counts of a day as JSON."""
    document: dict[str, Any] = {"version": 1, "day": day.isoformat()}
    document |= {"pulled": _nested(counts.pulled), "missed": _nested(counts.missed)}
    if counts.merged:
        document["merged"] = sorted(counts.merged)
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def parse_counts(body: bytes, what: str) -> Counts:
    """Parses the counts of a day. Raises `Malformed`: a Worker or another server wrote them."""
    document = load_json(body, what)
    if not isinstance(document, dict) or document.get("version") != 1:
        raise Malformed(what, "is not a version 1 document of counts")
    return Counts(
        dict(_flat(document.get("pulled"), MAX_PULLED, what)),
        dict(_flat(document.get("missed"), MAX_MISSED, what)),
        _writers(document.get("merged", []), what),
    )


def _nested(counts: Mapping[Name, int]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (repository, tag), count in counts.items():
        found.setdefault(repository, {})[tag] = min(count, MAX_COUNT)
    return found


def _flat(nested: Any, limit: int, what: str) -> Iterator[tuple[Name, int]]:
    number = 0
    for repository, tags in _items(nested, what):
        if target_problem(repository):
            raise Malformed(what, f"{repository[:90]!r} is not a valid repository")
        for tag, count in _items(tags, what):
            number += 1
            if number > limit:
                raise Malformed(what, f"more than {limit} tags are counted")
            # A bool is an int in Python.
            if not is_tag(tag) or type(count) is not int or not 0 < count <= MAX_COUNT:
                raise Malformed(what, f"{repository}:{tag[:90]} has no valid count")
            yield (repository, tag), count


def _writers(names: Any, what: str) -> frozenset[str]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Malformed(what, "expected a list of the writers that are merged")
    return frozenset(names)


def _items(value: Any, what: str) -> Iterable[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise Malformed(what, "expected objects of repositories and tags")
    return value.items()
