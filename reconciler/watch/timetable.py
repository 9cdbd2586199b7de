"""When the mirrors of one file run next. Pure: a value, and what follows from it at a time.

A repository that fails waits twice as long after each failure, up to `LONGEST`, and is left out of all runs until then.
It is tried again by itself, so that it need not wait for the file's next run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.mirrors.only import LEFT_OUT, matches_only
from reconciler.mirrors.schedule import HOURLY

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.mirrors.schedule import Schedule

LEAST_LATE = timedelta(hours=1)
"""How long after its time a run may end at least, before it is late: one that mirrors much takes a while."""

FIRST, LONGEST = timedelta(minutes=1), timedelta(hours=1)
"""How long a repository that failed waits, and how long at most."""

TOLERANCE = timedelta(minutes=1)
"""A clock that is set back by more makes new times."""

EVERYTHING = "*"
"""The backoff of the run as a whole, e.g. because the store fails. No target is called so."""


class Entry(Frozen):
    """Mirrors with one schedule. `targets` empty: all that have no schedule of their own."""

    schedule: Schedule
    next: datetime
    targets: tuple[str, ...] = ()


class Backoff(Frozen):
    """A repository that failed `failures` times in a row, and is tried again at `until`."""

    failures: int
    until: datetime


class Timetable(Frozen):
    """The next times of a file.

    entries   the mirrors without a schedule of their own first
    seed      tells this process and file from others, for the jitter
    at        the time at which this was made
    backoffs  the repositories that failed
    """

    entries: tuple[Entry, ...]
    seed: str
    at: datetime
    backoffs: Mapping[str, Backoff] = field(default_factory=dict)

    @classmethod
    def of(cls, mirrors: Mirrors, now: datetime, seed: str, *, at_once: bool) -> Timetable:
        """Makes the timetable of a file. `at_once`: run everything now, e.g. after an edit."""
        usual = mirrors.schedule or HOURLY
        own: dict[Schedule, list[str]] = {}
        for mirror in mirrors.entries:
            if mirror.schedule and mirror.schedule != usual:
                own.setdefault(mirror.schedule, []).append(mirror.target)

        def entry(schedule: Schedule, targets: Collection[str] = ()) -> Entry:
            first = now if at_once or schedule.runs_at_start else schedule.after(now, seed)
            return Entry(schedule, first, tuple(targets))

        return cls((entry(usual), *(entry(*one) for one in own.items())), seed, now)

    @property
    def next(self) -> datetime:
        """The time of the next run."""
        return min((*(one.next for one in self.entries), *(one.until for one in self.backoffs.values())))

    @property
    def late_at(self) -> datetime:
        """The time at which the last run is too old: the run after the one that is due should begin."""
        return min(max(one.schedule.after(one.next, self.seed), one.next + LEAST_LATE) for one in self.entries)

    def due(self, now: datetime) -> tuple[str, ...] | None:
        """Returns the run that is due at `now`, for all that is, as globs of `--only`; None if nothing is."""
        entries = [one for one in self.entries if one.next <= now]
        retried = [target for target, one in self.backoffs.items() if one.until <= now]
        waiting = self.backoffs.keys() - retried - {EVERYTHING}
        if self.entries[0] in entries or EVERYTHING in retried:
            later = {target for one in self.entries if one not in entries for target in one.targets} - {*retried}
            left_out = waiting if EVERYTHING in retried else waiting | later
            return tuple(f"{LEFT_OUT}{target}" for target in sorted(left_out))
        targets = {target for one in entries for target in one.targets} | {*retried}
        return tuple(sorted(targets - waiting)) or None

    def ended(self, now: datetime) -> Timetable:
        """Returns what follows once the run that was due has ended at `now`: missed times are not made up for."""
        entries = (
            replace(one, next=one.schedule.after(now, self.seed)) if one.next <= now else one for one in self.entries
        )
        return replace(self, entries=tuple(entries), at=now)

    def settled(self, only: Collection[str], failed: Collection[str], now: datetime) -> Timetable:
        """Returns what follows after a run with these globs, in which some targets `failed`."""
        globs = tuple(only)
        kept = {
            target: one
            for target, one in self.backoffs.items()
            if target != EVERYTHING and not matches_only(target, globs)
        }
        return replace(self, backoffs={**kept, **{target: self._backoff(target, now) for target in failed}}, at=now)

    def checked(self, now: datetime) -> Timetable:
        """Returns this, or, if the clock was set back, with new times."""
        if now >= self.at - TOLERANCE:
            return self
        entries = tuple(replace(one, next=one.schedule.after(now, self.seed)) for one in self.entries)
        return replace(self, entries=entries, backoffs={}, at=now)

    def _backoff(self, target: str, now: datetime) -> Backoff:
        failures = self.backoffs[target].failures + 1 if target in self.backoffs else 1
        return Backoff(failures, now + backoff(failures))


def backoff(failures: int) -> timedelta:
    """Returns how long to wait after `failures` in a row."""
    # No further than it takes to reach the bound.
    return min(LONGEST, FIRST * (1 << min(failures - 1, 16)))
