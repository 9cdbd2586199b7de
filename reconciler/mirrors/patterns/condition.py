"""Conditions: patterns that look at one tag at a time. An entry of mirrors.yaml combines them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from reconciler.frozen import Frozen
from reconciler.mirrors.patterns.pattern import Pattern

if TYPE_CHECKING:
    from reconciler.mirrors.tag_list import TagList


class Condition(Pattern):
    """Chooses the tags that it does not refuse.

    The first field holds the value of the condition's own key in mirrors.yaml; every other field has the name of the
    key that sets it.
    """

    @abstractmethod
    def refusal(self, tag: str, listed: TagList) -> str | None:
        """Returns why the tag is refused, None if it is not."""

    def refusal_of_name(self, tag: str, listed: TagList) -> str | None:
        """Returns why a floating tag is refused that comes along with a chosen version."""
        return self.refusal(tag, listed)

    @property
    def captures(self) -> bool:
        """Whether `ordered_by` may return a part of a tag."""
        return False

    def ordered_by(self, tag: str) -> str | None:  # noqa: ARG002 it is for regexes
        """Returns the part of a matching tag that orders it, None if the condition does not say."""
        return None

    def reasons(self, listed: TagList, among: Collection[str]) -> dict[str, str]:
        refused = ((tag, self.refusal(tag, listed)) for tag in among)
        return {tag: reason for tag, reason in refused if reason}


class AnyOf(Frozen, Condition):
    """At least one of several conditions of one kind."""

    conditions: tuple[Condition, ...]

    def problem(self) -> str | None:
        return next((problem for one in self.conditions if (problem := one.problem())), None)

    def refusal(self, tag: str, listed: TagList) -> str | None:
        return _all_refuse(one.refusal(tag, listed) for one in self.conditions)

    def refusal_of_name(self, tag: str, listed: TagList) -> str | None:
        return _all_refuse(one.refusal_of_name(tag, listed) for one in self.conditions)

    @property
    def captures(self) -> bool:
        return any(one.captures for one in self.conditions)

    def ordered_by(self, tag: str) -> str | None:
        return next((part for one in self.conditions if (part := one.ordered_by(tag)) is not None), None)

    @property
    def groups(self) -> frozenset[str]:
        return frozenset.intersection(*(one.groups for one in self.conditions))

    def captured(self, tag: str) -> Mapping[str, str] | None:
        return next((found for one in self.conditions if (found := one.captured(tag)) is not None), None)

    @property
    def means_versions(self) -> bool:
        return self.conditions[0].means_versions

    def __str__(self) -> str:
        return " or ".join(map(str, self.conditions))

    def alternatives(self) -> Iterator[Mapping[str, Any]]:
        for one in self.conditions:
            yield from one.alternatives()


def _all_refuse(refusals: Iterator[str | None]) -> str | None:
    """Returns the first refusal if there is no condition without one."""
    first = next(refusals)
    return first if first and all(refusals) else None
