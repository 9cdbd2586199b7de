"""Makes mirrors of drafts: one for all that is alike but for tags, names of tags, sources or destinations.

What they have in common and cannot have in one mirror is noted.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reconciler.imports.renames import UNCHANGED, renaming

if TYPE_CHECKING:
    from reconciler.imports.drafts import Destination, Draft, Entry

MOST_SOURCES = 10


@dataclass
class MergedMirror:
    """A mirror to be: what drafts have in common, and their tags and destinations together.

    others  the sources that follow `source`
    """

    source: str
    target: str
    settings: dict[str, Any]
    tags: list[Entry] = field(default_factory=list)
    destinations: list[Destination] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


def merge(drafts: Iterable[Draft]) -> list[MergedMirror]:
    """Merges drafts whose ends and settings are the same, then those that differ in one of their ends alone."""
    by_end: defaultdict[tuple[object, ...], list[Draft]] = defaultdict(list)
    first: dict[str, str] = {}
    targets: dict[int, str] = {}
    for draft in drafts:
        targets[id(draft)] = draft.target or _usual(draft.source, first)
        by_end[draft.source, targets[id(draft)], draft.destination, _spelled(draft.settings)].append(draft)
    mirrors = [_mirror(targets[id(alike[0])], alike) for alike in by_end.values()]
    return _over_destinations(_over_sources(mirrors))


def _usual(source: str, first: dict[str, str]) -> str:
    """The target of a source whose file names none: its path, with the host if another source has that path."""
    host, _, path = source.partition("/")
    return path if first.setdefault(path, source) == source else f"{host.partition(':')[0]}/{path}"


def _mirror(target: str, drafts: list[Draft]) -> MergedMirror:
    """The mirror of drafts whose ends and settings are the same."""
    one = drafts[0]
    mirror = MergedMirror(one.source, target, dict(one.settings), destinations=[one.destination], drafts=drafts)
    mirror.tags = list({_spelled(tag): tag for draft in drafts for tag in draft.tags}.values())
    if any(draft.names for draft in drafts):
        _rename(mirror)
    return mirror


def _rename(mirror: MergedMirror) -> None:
    """Sets the `rename` that fits most of the tags, and takes out the others."""
    names = _names(mirror.drafts)
    only_names = all(isinstance(tag, str) and "@" not in tag for tag in mirror.tags)
    found = renaming(names, only_names=only_names)
    fits = found.fits | {""} if found.template == UNCHANGED else found.fits
    fitting = [tag for tag in mirror.tags if _tag(tag) in fits]
    if found.template != UNCHANGED:
        mirror.settings["rename"] = found.template
    fit = set(map(_spelled, fitting))
    for draft in mirror.drafts:
        for tag in draft.tags:
            if _spelled(tag) not in fit:
                draft.at.note_beside(_unfit(tag, names.get(_tag(tag), ""), found.template))
    mirror.tags = [{"regex": found.expressions[_tag(tag)]} if found.expressions else tag for tag in fitting]


def _unfit(tag: Entry, name: str, template: str) -> str:
    what = f"{_tag(tag)} is not mirrored as {name}" if name else f"{json.dumps(tag)} is left out"
    return f"{what}: a mirror has one `rename`, here {template!r}; mirror it to a repository of its own"


def _names(drafts: Iterable[Draft]) -> dict[str, str]:
    """The names of the tags that are named. A tag that has several gets the first."""
    names: dict[str, str] = {}
    for draft in drafts:
        for tag in filter(None, map(_tag, draft.tags)):
            name = draft.names.get(tag, tag)
            if names.setdefault(tag, name) != name:
                also = f"{tag} is mirrored as {names[tag]}, and not as {name} too"
                draft.at.note_beside(f"{also}: a tag has one name in a repository")
    return names


def _tag(entry: Entry) -> str:
    """The tag that an entry names, empty for a pattern."""
    return entry.partition("@")[0] if isinstance(entry, str) else ""


def _over_sources(mirrors: Iterable[MergedMirror]) -> list[MergedMirror]:
    """Merges mirrors that have one target, and named tags or the same patterns, into one with several sources."""
    mirrors = list(mirrors)
    uses = Counter(mirror.source for mirror in mirrors)
    alike: dict[tuple[object, ...], MergedMirror] = {}
    for mirror in mirrors:
        patterns = sorted(_spelled(tag) for tag in mirror.tags if not _tag(tag))
        key: tuple[object, ...] = (mirror.target, *mirror.destinations, _spelled(mirror.settings), *patterns)
        # All mirrors of a source have the same list, and what is the newest of several sources is another question.
        is_relative = any("newest" in tag for tag in mirror.tags if isinstance(tag, dict))
        if uses[mirror.source] > 1 or is_relative or "max_repositories" in mirror.settings:
            key = (id(mirror),)
        first = alike.setdefault(key, mirror)
        if first is not mirror and len(first.others) == MOST_SOURCES - 1:
            alike[id(mirror),] = mirror
        elif first is not mirror:
            _add_source(first, mirror)
    return list(alike.values())


def _add_source(first: MergedMirror, mirror: MergedMirror) -> None:
    first.others.append(mirror.source)
    first.tags = list({_spelled(tag): tag for tag in (*first.tags, *mirror.tags)}.values())
    first.drafts += mirror.drafts
    if not all("@" in str(tag) for tag in first.tags):
        what = f"{mirror.source} follows {first.source}, which goes to {first.target} too"
        mirror.drafts[0].at.note_beside(f"{what}: a tag that both have comes from the first")


def _over_destinations(mirrors: Iterable[MergedMirror]) -> list[MergedMirror]:
    alike: dict[tuple[object, ...], MergedMirror] = {}
    for mirror in mirrors:
        tags = tuple(sorted(map(_spelled, mirror.tags)))
        key = (mirror.source, *mirror.others, mirror.target, _spelled(mirror.settings), tags)
        first = alike.setdefault(key, mirror)
        if first is not mirror:
            first.destinations += mirror.destinations
            first.drafts += mirror.drafts
    return list(alike.values())


def _spelled(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)
