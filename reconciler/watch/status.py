"""How watch is doing, for its port, and for whatever else asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors


@dataclass(frozen=True)
class Status:
    """One file.

    file          as it was named
    mirrors       its last valid content
    bad_edit      why the file cannot be used as it is now; None: it can
    last_run      when a run ended last
    last_success  when a run ended last in which nothing failed
    failures      runs in a row in which something failed
    error         what the last run failed with as a whole, e.g. the store
    next_run      when the next one is due; None: one is under way
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
    standing_by: str | None = None


class Health:
    """The health of all files, which `status` returns as they are at the moment."""

    def __init__(self, status: Callable[[], Iterable[Status]]) -> None:
        self._status = status

    def reasons(self) -> list[str]:
        """Returns why the process does not do what it should, a sentence each. A repository that fails is no reason."""
        return [reason for one in self._status() for reason in _reasons(one)]


def _reasons(status: Status) -> Iterator[str]:
    # Without the details, which name what only the log may: the port has no login.
    if status.bad_edit:
        yield f"{status.file} was edited and cannot be used; the content before that is at work"
    if status.error:
        yield f"{status.file}: the last run failed as a whole"
