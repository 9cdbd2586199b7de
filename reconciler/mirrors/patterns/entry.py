"""Entries with several conditions, with exceptions, or of which only some tags are kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, TypeAlias

from reconciler.frozen import Frozen
from reconciler.mirrors.patterns.condition import AnyOf
from reconciler.mirrors.patterns.kept import Kept
from reconciler.mirrors.patterns.pattern import Pattern
from reconciler.mirrors.tag_list import TagList

if TYPE_CHECKING:
    from reconciler.mirrors.patterns.condition import Condition

Texts: TypeAlias = Mapping[str, str]
"""Tag -> the part of it that is the version or that orders it."""

Refusal: TypeAlias = Callable[[str, TagList], str | None]


class Entry(Frozen, Pattern):
    """Tags that meet all conditions and are not excluded, and of these what `kept` keeps."""

    conditions: tuple[Condition, ...]
    exclude: tuple[Pattern, ...] = ()
    kept: Kept = field(default_factory=Kept)

    def reasons(self, listed: TagList, among: Collection[str]) -> dict[str, str]:
        captured, out = self._captured(among)
        texts = self._texts(captured, listed)
        context = self._context(texts, listed, among)
        refused = _refusals(texts, [one.refusal for one in self._of_versions], context)
        excluded = self._excluded(listed, texts.keys() - refused.keys())
        matching = texts.keys() - refused.keys() - excluded.keys()
        out |= refused | excluded
        if self.kept.is_all:
            return out
        if not self._is_by_version([texts[tag] for tag in matching], context):
            return out | self.kept.left_out({tag: captured[tag] for tag in matching})
        names = self._names({tag: texts[tag] for tag in refused}, listed, context) if self.kept.floating else {}
        brought, left_out = self.kept.split({tag: texts[tag] for tag in matching}, names, context)
        return {tag: why for tag, why in out.items() if tag not in brought} | left_out

    def may_choose(self, tag: str) -> bool:
        alone = TagList([tag])
        texts = self._texts(self._captured([tag])[0], alone)
        if not texts or any(not one.is_relative and tag in one.matching(alone) for one in self.exclude):
            return False
        context = alone.of(texts.values())
        refusals = [one.refusal for one in self._of_versions]
        names = [one.refusal_of_name for one in self._of_versions]
        return not _refusals(texts, refusals, context) or (
            self.kept.floating is True and not _refusals(texts, names, context)
        )

    @property
    def is_relative(self) -> bool:
        return not self.kept.is_all or any(one.is_relative for one in self.exclude)

    @property
    def uncounted(self) -> Entry:
        return replace(self, kept=Kept())

    @property
    def means_versions(self) -> bool:
        return bool(self._of_versions) and not self.kept.floating

    @property
    def groups(self) -> frozenset[str]:
        return frozenset().union(*(one.groups for one in self.conditions))

    def captured(self, tag: str) -> Mapping[str, str] | None:
        return next((found for one in self.conditions if (found := one.captured(tag)) is not None), None)

    def __str__(self) -> str:
        # Several conditions of one kind are joined by `or`.
        grouped = (
            f"({one})" if isinstance(one, AnyOf) and self.conditions[1:] else str(one) for one in self.conditions
        )
        conditions = " and ".join(grouped)
        exclude = f", except {' or '.join(map(str, self.exclude))}" if self.exclude else ""
        return f"{conditions}{exclude}{self.kept}"

    @property
    def _of_versions(self) -> list[Condition]:
        return [one for one in self.conditions if one.means_versions]

    @property
    def _captures(self) -> bool:
        return any(one.captures for one in self.conditions)

    def _captured(self, among: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
        """What orders each tag that meets the conditions on its text, and why the other tags do not meet them."""
        conditions = [one for one in self.conditions if not one.means_versions]
        everything = {tag: tag for tag in among}
        if not conditions:
            return everything, {}
        out = _refusals(everything, [one.refusal for one in conditions], TagList(()))
        capturing = [one for one in conditions if one.captures]
        parts = ((tag, (one.ordered_by(tag) for one in capturing)) for tag in everything.keys() - out.keys())
        return {tag: next((part for part in found if part is not None), tag) for tag, found in parts}, out

    def _texts(self, captured: Texts, listed: TagList) -> dict[str, str]:
        """The part of each tag that is its version: a tag that is one needs no group of a regex to say so."""
        if not self._captures:
            return dict(captured)
        whole = bool(self._of_versions)
        return {tag: tag if whole and listed.version(tag) else text for tag, text in captured.items()}

    def _context(self, texts: Texts, listed: TagList, among: Collection[str]) -> TagList:
        """What decides which of the texts are floating tags, or versions at all: those of all tags in the list."""
        if not self._captures:
            return listed
        others = self._texts(self._captured(listed.without(among))[0], listed)
        return listed.of([*others.values(), *texts.values()])

    def _excluded(self, listed: TagList, among: Collection[str]) -> dict[str, str]:
        return {tag: f"excluded by {one} in the entry" for one in self.exclude for tag in one.matching(listed, among)}

    def _is_by_version(self, texts: Collection[str], context: TagList) -> bool:
        if self._of_versions and self.kept.order is None:
            return True
        return self.kept.is_by_version(texts, context)

    def _names(self, texts: Texts, listed: TagList, context: TagList) -> Texts:
        """The tags that only the range refuses, and that therefore may come along as floating tags."""
        refused = _refusals(texts, [one.refusal_of_name for one in self._of_versions], context)
        excluded = self._excluded(listed, texts.keys() - refused.keys())
        return {tag: text for tag, text in texts.items() if tag not in refused and tag not in excluded}


def _refusals(texts: Texts, conditions: Collection[Refusal], context: TagList) -> dict[str, str]:
    """Returns the tags that a condition refuses, each with the first reason."""
    out = {}
    for refusal in conditions:
        for tag, text in texts.items():
            if tag not in out and (why := refusal(text, context)):
                out[tag] = why
    return out
