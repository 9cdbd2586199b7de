"""Makes mirrors of drafts: one for all that is alike but for tags or destinations. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reconciler.imports.drafts import Destination, Draft, Entry


@dataclass
class MergedMirror:
    """A mirror to be: what drafts have in common, and their tags and destinations together."""

    source: str
    target: str
    settings: dict[str, Any]
    tags: list[Entry] = field(default_factory=list)
    destinations: list[Destination] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)


def merge(drafts: Iterable[Draft]) -> list[MergedMirror]:
    """Merges drafts whose ends and settings are the same, then those that differ in their destination alone."""
    by_end: dict[tuple[object, ...], MergedMirror] = {}
    known: dict[int, set[str]] = {}
    first: dict[str, str] = {}
    for draft in drafts:
        target = draft.target or _usual(draft.source, first)
        key = (draft.source, target, draft.destination, _spelled(draft.settings))
        mirror = by_end.setdefault(key, MergedMirror(draft.source, target, dict(draft.settings)))
        tags = known.setdefault(id(mirror), set())
        mirror.tags += [tag for tag in draft.tags if not (_spelled(tag) in tags or tags.add(_spelled(tag)))]  # type: ignore[func-returns-value]
        mirror.destinations = [draft.destination]
        mirror.drafts.append(draft)
    return _over_destinations(by_end.values())


def _usual(source: str, first: dict[str, str]) -> str:
    """The target of a source whose file names none: its path, with the host if another source has that path."""
    host, _, path = source.partition("/")
    return path if first.setdefault(path, source) == source else f"{host.partition(':')[0]}/{path}"


def _over_destinations(mirrors: Iterable[MergedMirror]) -> list[MergedMirror]:
    alike: dict[tuple[object, ...], MergedMirror] = {}
    for mirror in mirrors:
        tags = tuple(sorted(map(_spelled, mirror.tags)))
        first = alike.setdefault((mirror.source, mirror.target, _spelled(mirror.settings), tags), mirror)
        if first is not mirror:
            first.destinations += mirror.destinations
            first.drafts += mirror.drafts
    return list(alike.values())


def _spelled(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)
