"""How watch is doing, for its port, and for whatever else asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors


class Status(Frozen):
    """One file.

    file          as it was named
    mirrors       its last valid content
    bad_edit      why the file cannot be used as it is now; None: it can
    last_run      when a run ended last
    last_success  when a run ended last in which nothing failed
    failures      runs in a row in which something failed
    error         what the last run failed with as a whole, e.g. the store
    next_run      when the next one is due; None: one is under way
    late_at       when the last run is too old, if none has ended until then
    standing_by   which run of another process is waited for
    """

    file: str
    mirrors: Mirrors
    bad_edit: str | None = None
    last_run: datetime | None = None
    last_success: datetime | None = None
    failures: int = 0
    error: str | None = None
    next_run: datetime | None = None
    late_at: datetime | None = None
    standing_by: str | None = None


class Health:
    """The health of all files, which `status` returns as they are at the moment."""

    def __init__(
        self, status: Callable[[], Iterable[Status]], now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._status, self._now = status, now

    def reasons(self) -> list[str]:
        """Returns why the process does not do what it should, a sentence each. A repository that fails is no reason."""
        now = self._now()
        return [reason for one in self._status() for reason in _reasons(one, now)]


def _reasons(status: Status, now: datetime) -> Iterator[str]:
    # Without the details, which name what only the log may: the port has no login.
    if status.bad_edit:
        yield f"{status.file} was edited and cannot be used; the content before that is at work"
    if status.error:
        yield f"{status.file}: the last run failed as a whole"
    # A replica that stands by leaves the runs to another one.
    if status.late_at and now > status.late_at and not status.standing_by:
        since = f"since {status.last_run:%Y-%m-%d %H:%M} UTC" if status.last_run else "yet"
        yield f"{status.file}: no run has ended {since}; it was expected by {status.late_at:%Y-%m-%d %H:%M} UTC"
