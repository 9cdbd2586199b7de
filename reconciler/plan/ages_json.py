"""What waits for `min_age`, was seen or has moved, as JSON in a plan. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from reconciler.errors import Malformed
from reconciler.oci.spec import Digest, is_tag
from reconciler.plan.ages import Ages, Moved, Vanished, Waiting
from reconciler.target.index_json import format_time, parse_time

Row = TypeVar("Row")


def ages_document(ages: Ages) -> dict[str, Any]:
    """Writes the keys of a repository; those of which there is nothing are left out."""
    rows = {
        "waiting": [_waiting_document(one) for one in ages.waiting],
        "vanished": [
            {"tag": one.tag, "digest": str(one.digest), "first_seen": format_time(one.since)} for one in ages.vanished
        ],
        "moved": [{"tag": one.tag, "before": str(one.before), "after": str(one.after)} for one in ages.moved],
    }
    sightings = {} if ages.sightings is None else {"sightings": _sightings_document(ages)}
    return {**{key: some for key, some in rows.items() if some}, **sightings}


def _waiting_document(one: Waiting) -> dict[str, Any]:
    until = format_time(one.until) if one.until else None
    return {"tag": one.tag, "digest": str(one.digest), "first_seen": format_time(one.since), "until": until}


def _sightings_document(ages: Ages) -> dict[str, str | None]:
    return {tag: str(digest) if digest else None for tag, digest in sorted((ages.sightings or {}).items())}


def parse_ages(entry: dict[Any, Any], target: str) -> Ages:
    """Reads what `ages_document` wrote into a repository. Raises `Malformed`."""
    return Ages(
        _rows(entry, "waiting", _waiting, target),
        _rows(entry, "vanished", _vanished, target),
        _sightings(entry["sightings"], target) if "sightings" in entry else None,
        moved=_rows(entry, "moved", _moved, target),
    )


def _rows(entry: dict[Any, Any], key: str, parse: Callable[[Any], Row | None], target: str) -> tuple[Row, ...]:
    some = entry.get(key, [])
    if not isinstance(some, list):
        raise Malformed(target, f"expected {key} to be a list")
    rows = [parse(one) for one in some]
    if None in rows:
        raise Malformed(target, f"expected each entry of {key} to have its tag, digests and times")
    return tuple(row for row in rows if row is not None)


def _waiting(entry: Any) -> Waiting | None:
    match entry:
        case {"tag": str(tag), "digest": str(digest), "first_seen": str(since), "until": str() | None as until}:
            return Waiting(tag, Digest.parse(digest), parse_time(since), parse_time(until) if until else None)
        case _:
            return None


def _vanished(entry: Any) -> Vanished | None:
    match entry:
        case {"tag": str(tag), "digest": str(digest), "first_seen": str(since)}:
            return Vanished(tag, Digest.parse(digest), parse_time(since))
        case _:
            return None


def _moved(entry: Any) -> Moved | None:
    match entry:
        case {"tag": str(tag), "before": str(before), "after": str(after)}:
            return Moved(tag, Digest.parse(before), Digest.parse(after))
        case _:
            return None


def _sightings(entry: Any, target: str) -> dict[str, Digest | None]:
    if not isinstance(entry, dict) or not all(map(is_tag, entry)):
        raise Malformed(target, "expected sightings to have a digest for each tag")
    if not all(isinstance(digest, str | None) for digest in entry.values()):
        raise Malformed(target, "expected sightings to have a digest for each tag, or null")
    return {tag: Digest.parse(digest) if digest else None for tag, digest in entry.items()}
