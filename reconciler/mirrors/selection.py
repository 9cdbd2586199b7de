"""Selects the tags that a mirror wants from the source's tag list, each with the pattern that chose it. Pure.

No pattern that a user can write takes more than linear time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.mirrors.patterns import Named
from reconciler.mirrors.tag_list import as_tag_list

if TYPE_CHECKING:
    from reconciler.mirrors.patterns import Pattern
    from reconciler.mirrors.tag_list import TagList


class Chosen(Frozen):
    """A tag that a mirror wants.

    pattern    the one that chose it
    immutable  whether it is never resolved again once it is mirrored
    source_tag  its name at the source, if it is renamed
    """

    tag: str
    pattern: Pattern
    immutable: bool
    source_tag: str | None = None

    @property
    def at_source(self) -> str:
        return self.source_tag or self.tag


class Tally(Frozen):
    """How many tags a pattern, as mirrors.yaml spells it, has chosen, and how many with those that are excluded."""

    pattern: str
    matched: int
    chosen: int


class Selection(Frozen):
    """What patterns choose from a list.

    chosen   the wanted tags, each once, sorted by name
    tallies  one for each pattern, in the order of mirrors.yaml
    """

    chosen: tuple[Chosen, ...]
    tallies: tuple[Tally, ...]


def needs_listing(patterns: Iterable[Pattern]) -> bool:
    """Returns whether the source's tag list is needed to know what these patterns choose."""
    return not all(isinstance(pattern, Named) for pattern in patterns)


def select(
    tags: Iterable[Pattern],
    exclude: Iterable[Pattern],
    immutable: Iterable[Pattern],
    listed: Iterable[str],
    passing: Collection[str] = (),
) -> Selection:
    """Selects the tags that a mirror wants.

    Named tags are wanted whether they are listed or not. What is excluded is not counted: it takes no place among the
    newest. Where several patterns choose a tag, a pin is recorded rather than a name, and a name rather than the first
    of the other patterns. Tags that are `passing` are not chosen now, as if they were excluded.
    """
    tags, source = tuple(tags), as_tag_list(listed)
    excluded = _excluded(tags, exclude, source)
    out = excluded.keys() | passing
    others = source.without(out)
    found = [(pattern, pattern.matching(source, others) - out) for pattern in tags]
    chosen: dict[str, Pattern] = {}
    for pattern, matching in sorted(found, key=lambda one: one[0].precedence):
        for tag in matching:
            chosen.setdefault(tag, pattern)
    frozen = {tag for pattern in immutable for tag in _frozen(pattern, source, chosen)}
    return Selection(
        tuple(Chosen(tag, chosen[tag], tag in frozen) for tag in sorted(chosen)),
        tuple(
            Tally(str(one), len(matching) + _wanted_but_excluded(one, source, excluded), len(matching))
            for one, matching in found
        ),
    )


def _wanted_but_excluded(pattern: Pattern, source: TagList, excluded: Collection[str]) -> int:
    return len(pattern.uncounted.matching(source, excluded) & set(excluded)) if excluded else 0


class Explained(Frozen):
    """Why a listed tag is chosen, or is not.

    chosen   the pattern that chose it, None if there is none
    reasons  why it is not chosen, by pattern: the one that excludes it, else each of `tags`
    """

    tag: str
    chosen: Pattern | None
    reasons: tuple[tuple[Pattern, str], ...] = ()


def explain(tags: Iterable[Pattern], exclude: Iterable[Pattern], listed: Iterable[str]) -> tuple[Explained, ...]:
    """Returns for each listed tag, sorted by name, why it is chosen or not. It agrees with `select`."""
    tags, source = tuple(tags), as_tag_list(listed)
    excluded = _excluded(tags, exclude, source)
    others = source.without(excluded)
    reasons = [(pattern, pattern.reasons(source, others)) for pattern in tags]
    ranked = sorted(reasons, key=lambda one: one[0].precedence)

    def explained(tag: str) -> Explained:
        if tag in excluded:
            return Explained(tag, None, ((excluded[tag], "excluded"),))
        chosen = next((pattern for pattern, why in ranked if tag not in why), None)
        return Explained(tag, chosen) if chosen else Explained(tag, None, tuple((p, why[tag]) for p, why in reasons))

    return tuple(explained(tag) for tag in sorted(source))


def _excluded(tags: Sequence[Pattern], exclude: Iterable[Pattern], source: TagList) -> dict[str, Pattern]:
    """The tags that are excluded, each with the first pattern that does it."""
    named = {pattern.tag for pattern in tags if isinstance(pattern, Named)}
    everything = source.tags | named
    excluded: dict[str, Pattern] = {}
    for pattern in exclude:
        # `exclude: [{semver: ..., newest: 1}]` means the newest of what `tags` takes.
        among = _taken(tags, source) if pattern.is_relative else everything
        for tag in pattern.matching(source, among):
            excluded.setdefault(tag, pattern)
    return excluded


def _taken(tags: Sequence[Pattern], source: TagList) -> set[str]:
    """What the patterns choose before anything is excluded."""
    return {tag for pattern in tags for tag in pattern.matching(source)}


def _frozen(pattern: Pattern, source: TagList, chosen: Collection[str]) -> set[str]:
    """The chosen tags that a pattern makes immutable. A floating tag moves: a range of versions does not mean it."""
    found = pattern.matching(source, chosen)
    return {tag for tag in found if not source.may_float(tag)} if pattern.means_versions else found
