"""`min_age` of a mirror: how long a digest has to have been under its tag before it is published. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.words import duration_words

if TYPE_CHECKING:
    from reconciler.mirrors.patterns import Pattern

INDEX, LOG, PUSH = "index", "log", "push"
"""The witnesses: the mirror index, which always counts, a transparency log, and Docker Hub's date of a push."""

LONGEST = timedelta(days=366)


class MinAge(Frozen):
    """A waiting time.

    age      how long a digest has to have been seen under its tag
    seen_by  the witnesses whose word counts, the most trusted first
    exempt   tags that do not wait; in mirrors.yaml the key is `except`
    """

    age: timedelta
    seen_by: tuple[str, ...] = (INDEX,)
    exempt: tuple[Pattern, ...] = ()

    def __str__(self) -> str:
        witnesses = "" if self.seen_by == (INDEX,) else f", seen by {', '.join(self.seen_by)}"
        exempt = f", except {', '.join(map(str, self.exempt))}" if self.exempt else ""
        return f"{duration_words(self.age)}{witnesses}{exempt}"

    @property
    def has_others(self) -> bool:
        """Whether the word of others than the mirror index counts."""
        return self.seen_by != (INDEX,)

    def exempts(self, tag: str) -> bool:
        """Returns whether the tag does not wait."""
        return any(pattern.may_choose(tag) for pattern in self.exempt)
