"""What a bucket holds, as text or a JSON document. Prints nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from reconciler.cli.render.formats import View
from reconciler.cli.render.sheet import EMPTY, WIDE, Grid, Line, bold, rendered
from reconciler.frozen import Frozen
from reconciler.mirrors.versions import in_order
from reconciler.oci.platform_sizes import UNKNOWN
from reconciler.target.index_json import format_time, platforms_document
from reconciler.words import count, size_words

if TYPE_CHECKING:
    from reconciler.cli.render.sheet import Part
    from reconciler.pulls.tally import Name
    from reconciler.target.index import TagState
    from reconciler.target.listing import ListedRepository, Listing


class Pulls(Frozen):
    """How often clients resolved each tag in the last `days` days."""

    days: int
    counts: Mapping[Name, int]

    def of(self, repository: str, tag: str) -> int:
        return self.counts.get((repository, tag), 0)

    def of_repository(self, repository: str) -> int:
        """Counts the pulls of all tags, also of those that are gone since."""
        return self._by_repository[repository]

    @cached_property
    def _by_repository(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for (repository, _), number in self.counts.items():
            found[repository] += number
        return found


_AGES = (("year", 31_557_600), ("month", 2_629_800), ("day", 86_400), ("hour", 3_600), ("minute", 60))


def listing_text(
    found: Listing,
    now: datetime,
    *,
    tags: bool,
    pulls: Pulls | None = None,
    color: bool = False,
    width: int = WIDE,
) -> str:
    """A line for each repository, or with `tags` a block for each with a line for every tag; then the summary."""
    repositories = found.repositories
    parts: list[Part] = []
    if tags:
        for repository in repositories:
            parts += [*_block(repository, now, pulls), EMPTY]
    elif repositories:
        parts += [_overview(repositories, now, pulls), EMPTY]
    number = sum(len(repository.tags) for repository in repositories)
    of = f"; pulls of the last {pulls.days} days" if pulls else ""
    line = f"{count(len(repositories), 'repository', 'repositories')}, {count(number, 'tag')}{of}."
    return rendered([*parts, bold(line)], color=color, width=width)


def listing_document(found: Listing, *, tags: bool, pulls: Pulls | None = None) -> dict[str, Any]:
    """What was found as `schema/list.schema.json` has it."""
    return {
        "version": 1,
        "whole": found.whole,
        **({"pulls_days": pulls.days} if pulls else {}),
        "repositories": [_entry(repository, tags=tags, pulls=pulls) for repository in found.repositories],
    }


def age_words(then: datetime, now: datetime) -> str:
    """Writes how long ago a time was, e.g. `3 days ago`."""
    seconds = int((now - then).total_seconds())
    for unit, length in _AGES:
        if seconds >= length:
            return f"{count(seconds // length, unit)} ago"
    return "just now"


def _overview(repositories: Iterable[ListedRepository], now: datetime, pulls: Pulls | None) -> Grid:
    table = Grid(right=(1, 2, 4))
    for one in repositories:
        size = "" if one.size is None else size_words(one.size)
        changed = age_words(one.changed_at, now) if one.changed_at else ""
        pulled = (count(pulls.of_repository(one.target), "pull"),) if pulls else ()
        table.row((one.target, "bold"), count(len(one.tags), "tag"), size, (changed, "dim"), *pulled)
    return table


def _block(repository: ListedRepository, now: datetime, pulls: Pulls | None) -> list[Part]:
    table = Grid(right=(3,)) if pulls else Grid()
    for tag, state in _in_order(repository.tags):
        digest = f"{state.digest.algorithm}:{state.digest.hex[:12]}" if state else ""
        changed = age_words(state.synced_at, now) if state else ""
        renamed = f"{state.source_tag} at the source" if state and state.source_tag else ""
        pulled = (count(pulls.of(repository.target, tag), "pull"),) if pulls else ()
        rest = ", ".join(filter(None, (_images_words(state), renamed)))
        table.row(f"  {tag}", digest, (changed, "dim"), *pulled, rest)
    source = f"  from {repository.source}" if repository.source else ""
    stay = [
        Line((f"  {tag}  pruned, and still there: the registry did not delete it", "yellow"))
        for tag in sorted(repository.undeleted, key=in_order)
    ]
    return [Line((repository.target, "bold"), source), table, *stay]


def _in_order(tags: Mapping[str, TagState | None]) -> list[tuple[str, TagState | None]]:
    return sorted(tags.items(), key=lambda item: in_order(item[0]))


def _images_words(state: TagState | None) -> str:
    """Writes the size of each platform, e.g. `linux/amd64 3.2 MiB, linux/arm64 3.6 MiB`."""
    if state is None or not state.images:
        return ""
    pairs = state.images.items()
    return ", ".join(f"{'' if name == UNKNOWN else name + ' '}{size_words(size)}" for name, size in pairs)


def _entry(repository: ListedRepository, *, tags: bool, pulls: Pulls | None) -> dict[str, Any]:
    changed = repository.changed_at
    entry = {
        "target": repository.target,
        "source": repository.source,
        "count": len(repository.tags),
        "size": repository.size,
        "changed_at": format_time(changed) if changed else None,
        **({"pulls": pulls.of_repository(repository.target)} if pulls else {}),
    }
    numbers = {tag: {"pulls": pulls.of(repository.target, tag)} for tag in repository.tags} if pulls else {}
    each = _in_order(repository.tags)
    rows = [_tag_entry(tag, state) | numbers.get(tag, {}) for tag, state in each] if tags else None
    stay = {"undeleted": sorted(repository.undeleted, key=in_order)} if tags and repository.undeleted else {}
    return entry | ({} if rows is None else {"tags": rows}) | stay


def _tag_entry(tag: str, state: TagState | None) -> dict[str, Any]:
    return {
        "tag": tag,
        "digest": str(state.digest) if state else None,
        "mediaType": state.media_type if state else None,
        "platforms": platforms_document(state.platforms) if state else None,
        "images": dict(state.images) if state and state.images else None,
        "synced_at": format_time(state.synced_at) if state else None,
        **({"source_tag": state.source_tag} if state and state.source_tag else {}),
    }


def listing_view(now: datetime, *, tags: bool, pulls: Pulls | None = None) -> View[Listing]:
    """The formats of a listing, with `tags` of each repository's tags too, at the time `now`."""
    return View(
        partial(listing_text, now=now, tags=tags, pulls=pulls), partial(listing_document, tags=tags, pulls=pulls)
    )
