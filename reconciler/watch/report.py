"""What a run of a file came to, over all its stores. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from reconciler.apply.outcome import Done
from reconciler.errors import ImmutableMoved, LockHeld, QuotaSpent
from reconciler.frozen import Frozen
from reconciler.plan.diff import Action
from reconciler.watch.timetable import EVERYTHING
from reconciler.words import count, size_words, time_words

if TYPE_CHECKING:
    from reconciler.apply.finished import Failure, Finished

VERBS = {Action.ADD: "added", Action.UPDATE: "updated", Action.PRUNE: "pruned"}

LASTING = frozenset({ImmutableMoved.reason, "held_back"})
"""Reasons that no retry helps: they need an edit, or an option of `apply`."""


class Held(Frozen):
    """A store whose lock another run holds."""

    store: str
    error: LockHeld


class Report(Frozen):
    """One run of a file.

    runs     that of each store
    seconds  how long it took
    stopped  whether it ended early because the program was told to stop
    """

    runs: tuple[Finished, ...]
    seconds: float
    stopped: bool = False

    @property
    def held(self) -> Held | None:
        """The first store that another run is at work on."""
        return next((Held(one.store, one.error) for one in self.runs if isinstance(one.error, LockHeld)), None)

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Everything that went wrong, without what waits for a quota, and for another run."""
        waits = {QuotaSpent.reason, LockHeld.reason}
        return tuple(one for run in self.runs for one in run.failures if one.why not in waits)

    @property
    def retried(self) -> frozenset[str]:
        """The targets to try again, `EVERYTHING` if a store failed as a whole."""
        failures = (one for run in self.runs for one in run.failures)
        return frozenset(one.target or EVERYTHING for one in failures if one.why not in LASTING)

    @property
    def errors(self) -> tuple[str, ...]:
        """What went wrong, a line each; several repositories that fail alike have one."""
        named: dict[str, list[str]] = {}
        for one in self.failures:
            named.setdefault(one.words, []).append(f"{one.target}:{one.tag}" if one.tag else one.target or "")
        return tuple(f"{_joined(names)}{words}" for words, names in named.items())

    @property
    def changed(self) -> Mapping[Action, int]:
        """How many tags were added, updated and pruned."""
        return Counter(one.change.action for run in self.runs for one in run.events if isinstance(one, Done))

    @property
    def words(self) -> str:
        """The run in a line, e.g. `3 added, 1 pruned; 3.4 MiB in 12 s`."""
        done = [f"{self.changed[action]} {verb}" for action, verb in VERBS.items() if self.changed.get(action)]
        failed = len({one.target for one in self.failures})
        wrong = [count(failed, "repository failed", "repositories failed")] if failed else []
        waits = len(self.retried - {one.target or EVERYTHING for one in self.failures})
        wrong += [count(waits, "repository waits for its quota", "repositories wait for their quota")] if waits else []
        size = sum(one.copied for one in self.runs)
        took = f"{f'; {size_words(size)}' if size else ''} in {time_words(self.seconds)}"
        stopped = ["stopped early"] if self.stopped else []
        return f"{', '.join([*(done or ['nothing changed']), *wrong, *stopped])}{took}"


def _joined(names: list[str]) -> str:
    names = [name for name in dict.fromkeys(names) if name]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}: " if names else ""
