"""Shows what patterns choose of a tag list, and why each other tag is left out.

listed = list_tags("docker.io/library/alpine", {}, Path(), os.environ)
choice = choose("docker.io/library/alpine", parse_typed(['{semver: ">=3.18", newest: 3}']), (), listed)
for row in choice.rows:
    print(row.tag, row.pattern or row.reason)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.mirrors.near_misses import empty_handed
from reconciler.mirrors.selection import explain, select
from reconciler.mirrors.surprises import surprises
from reconciler.mirrors.tag_list import TagList
from reconciler.mirrors.versions import in_order
from reconciler.plan.findings import choosable
from reconciler.sources.opening import open_sources
from reconciler.target.index import RepositoryState

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror
    from reconciler.mirrors.patterns import Pattern
    from reconciler.mirrors.selection import Explained
    from reconciler.sources.config import RegistryConfig

ATTACHED = "attached to an image, with which it comes along"


class Row(Frozen):
    """A tag of a list.

    pattern  the one that chooses it
    reason   why none does
    name_of  the version that a floating tag is a name of
    """

    tag: str
    pattern: str | None = None
    reason: str | None = None
    name_of: str | None = None


class Choice(Frozen):
    """What patterns choose of a list.

    source    what the tags are of; empty if they came from a file without a name for it
    patterns  as mirrors.yaml spells them; none: nothing is chosen, and the tags are only listed
    rows      one for each tag, versions from the oldest on
    missing   tags that are named and not listed
    warnings  about patterns that choose nothing, or something surprising
    """

    source: str
    patterns: tuple[str, ...]
    exclude: tuple[str, ...]
    rows: tuple[Row, ...]
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def chosen(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.pattern is not None)


def list_tags(
    source: str,
    registries: Mapping[str, RegistryConfig],
    folder: Path,
    environ: Mapping[str, str],
    fallbacks: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """Lists the tags of a source. Raises `Malformed` for a name that is not one of a source, and `SourceError`.

    registries  by host, as mirrors.yaml has them
    folder      where a relative path starts
    environ     where credentials are found
    fallbacks   the sources that follow it
    """
    several = {source: fallbacks} if fallbacks else {}
    with open_sources(registries, folder, environ, fallbacks=several) as open_source:
        return open_source(source).tags()


def choose(source: str, patterns: Sequence[Pattern], exclude: Sequence[Pattern], listed: Collection[str]) -> Choice:
    """Returns what the patterns choose."""
    names = tuple(map(str, patterns)), tuple(map(str, exclude))
    tags = TagList(listed)
    if not patterns:
        return Choice(source, *names, tuple(map(Row, tags.in_order())))
    selection = select(patterns, exclude, (), tags)
    explained = {one.tag: one for one in explain(patterns, exclude, tags)}
    return Choice(
        source,
        *names,
        tuple(_row(explained[tag], tags) for tag in tags.in_order()),
        tuple(one.tag for one in selection.chosen if one.tag not in explained),
        (*empty_handed(patterns, selection.tallies, tags), *surprises(selection.chosen, tags)),
    )


def choose_for(mirror: Mirror, listed: tuple[str, ...], patterns: Sequence[Pattern] = ()) -> Choice:
    """Returns what a mirror chooses, by its own patterns or by others in their place, with its `exclude`."""
    offered = choosable(mirror, listed, lambda: RepositoryState(mirror.source))
    choice = choose(mirror.source, patterns or mirror.tags, mirror.exclude, offered)
    attached = (Row(tag, reason=ATTACHED) for tag in set(listed) - set(offered))
    return replace(choice, rows=tuple(sorted((*choice.rows, *attached), key=lambda row: in_order(row.tag))))


def _row(explained: Explained, tags: TagList) -> Row:
    version = tags.version(explained.tag)
    named = tags.named_by(version) if version else None
    chosen, reason = (str(explained.chosen), None) if explained.chosen else (None, _words(explained.reasons))
    return Row(explained.tag, chosen, reason, named.tag if named else None)


def _words(reasons: Sequence[tuple[Pattern, str]]) -> str:
    """Joins why each pattern does not choose a tag. The patterns are named only if their reasons differ."""
    distinct = tuple(dict.fromkeys(reason for _, reason in reasons))
    if len(distinct) == 1:
        return f"excluded by {reasons[0][0]}" if distinct == ("excluded",) else distinct[0]
    return "; ".join(f"{pattern}: {reason}" for pattern, reason in reasons)
