"""When `r2mirror watch` runs: `schedule` of mirrors.yaml. Pure: the caller has the clock.

A run is due at a tick of the schedule plus its jitter, a delay that depends on the seed and on the tick alone. Two
processes with different seeds therefore do not start together, and one that restarts keeps its times.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from reconciler.frozen import Frozen
from reconciler.words import duration_words

MOST_JITTER = timedelta(minutes=5)
"""The jitter of a schedule that does not set one is a tenth of the time to the next tick, and at most this."""

SHORTEST, LONGEST = timedelta(seconds=10), timedelta(days=366)
"""The bounds of `every`."""

MOST_CRON_JITTER = timedelta(days=1)

_EPOCH = datetime(2024, 1, 1, tzinfo=UTC)


class Every(Frozen):
    """A run in each `interval`. `jitter`: the longest delay; None: the default."""

    interval: timedelta
    jitter: timedelta | None = None

    def __str__(self) -> str:
        return f"every {duration_words(self.interval)}{_jitter_words(self.jitter)}"

    @property
    def runs_at_start(self) -> bool:
        """Whether a process that starts runs at once: an interval names no time to wait for."""
        return True

    def after(self, now: datetime, seed: str) -> datetime:
        """Returns the first time after `now`, in UTC."""
        bound = _bound(self.jitter, self.interval)
        # The phase spreads processes over the whole interval, not only over the jitter.
        start = _EPOCH + self.interval * _share(seed)
        first = start + self.interval * ((now - start) // self.interval - 1)
        ticks = (first + self.interval * number for number in range(4))
        return min(at for at in (one + bound * _share(f"{seed} {one}") for one in ticks) if at > now)


class Cron(Frozen):
    """Runs at the times of a cron expression in a time zone. `jitter`: the longest delay; None: the default.

    Times that daylight saving skips are made up for right after the gap, and those that it repeats count once, unless
    the hour is `*`: as Debian's cron does it.
    """

    expression: str
    zone: str = "UTC"
    jitter: timedelta | None = None

    def __str__(self) -> str:
        return f"{self.expression} {self.zone}{_jitter_words(self.jitter)}"

    @property
    def runs_at_start(self) -> bool:
        return False

    def after(self, now: datetime, seed: str) -> datetime:
        """Returns the first time after `now`, in UTC."""
        ticks = self._ticks(now - (MOST_JITTER if self.jitter is None else self.jitter) - timedelta(minutes=1))
        found: datetime | None = None
        tick = next(ticks)
        # A later tick may have less jitter than one whose time is still to come.
        while found is None or tick < found:
            following = next(ticks)
            at = tick + _bound(self.jitter, following - tick) * _share(f"{seed} {tick}")
            if at > now:
                found = min(found or at, at)
            tick = following
        return found

    def _ticks(self, since: datetime) -> Iterator[datetime]:
        # Few runs have a schedule with times.
        from zoneinfo import ZoneInfo

        from cronsim import CronSim

        # Stepped in UTC: a difference of two local times would ignore a change of the clocks between them.
        for tick in CronSim(self.expression, since.astimezone(ZoneInfo(self.zone))):
            yield tick.astimezone(UTC)


Schedule: TypeAlias = Every | Cron

HOURLY = Every(timedelta(hours=1))
"""The schedule of a file that has none."""


def cron_problem(expression: str) -> str | None:
    """Says what is wrong with a cron expression; None if it has times."""
    from cronsim import CronSim, CronSimError

    if len(expression.split()) != 5:
        return "is not a cron expression of five fields: minute, hour, day of month, month, day of week"
    try:
        next(CronSim(expression, _EPOCH))
    except CronSimError as error:
        return f"is not a valid cron expression: {str(error)[:1].lower()}{str(error)[1:]}"
    except StopIteration:
        return "is a cron expression that no date matches"
    return None


def zone_problem(zone: str) -> str | None:
    """Says what is wrong with the name of a time zone; None if it is known."""
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        return "is not the name of a time zone; write e.g. Europe/Berlin or UTC"
    return None


def _bound(jitter: timedelta | None, gap: timedelta) -> timedelta:
    return min(MOST_JITTER, gap / 10) if jitter is None else jitter


def _share(seed: str) -> float:
    """A number from 0 up to 1 that depends on the seed alone."""
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:6]) / 2**48


def _jitter_words(jitter: timedelta | None) -> str:
    return "" if jitter is None else f", jitter {duration_words(jitter)}"
