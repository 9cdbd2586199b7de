"""What a watched file is told while it waits or works. Safe for any number of threads, and for signal handlers."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from reconciler.work.deadline import Deadline

if TYPE_CHECKING:
    from reconciler.triggers.gathering import Targets


class Inbox:
    """Collects what is to be done at once.

    deadline  of the run that is under way, and of all to come
    """

    def __init__(self) -> None:
        self.deadline = Deadline()
        self._changed = threading.Condition()
        self._reload = self._stopped = self._all = False
        self._targets: frozenset[str] = frozenset()

    @property
    def is_stopped(self) -> bool:
        return self._stopped

    @property
    def has_news(self) -> bool:
        return self._stopped or self._reload or self._all or bool(self._targets)

    def stop(self, grace: float) -> None:
        """Begins nothing more, and gives the images under way up after `grace` seconds."""
        with self._changed:
            self._stopped = True
            self.deadline.close(grace)
            self._changed.notify_all()

    def reload(self) -> None:
        """Reads the file anew, edited or not."""
        with self._changed:
            self._reload = True
            self._changed.notify_all()

    def wake(self, targets: Targets) -> None:
        """Runs these targets at once; None: the whole file."""
        with self._changed:
            self._all = self._all or targets is None
            self._targets |= targets or frozenset()
            self._changed.notify_all()

    def take_reload(self) -> bool:
        """Returns whether the file is to be read anew, once."""
        with self._changed:
            wanted, self._reload = self._reload, False
            return wanted

    def take_targets(self) -> tuple[str, ...] | None:
        """Returns what is to be run at once, as globs of `--only`; None: nothing."""
        with self._changed:
            wanted = () if self._all else tuple(sorted(self._targets)) or None
            self._all, self._targets = False, frozenset()
            return wanted

    def wait(self, seconds: float) -> None:
        """Waits until there is news, `seconds` at most."""
        with self._changed:
            self._changed.wait_for(lambda: self.has_news, seconds)


class Clock(Protocol):
    """Tells the time, and lets it pass."""

    def now(self) -> datetime: ...

    def wait(self, inbox: Inbox, seconds: float) -> None:
        """Waits until the inbox has news, `seconds` at most."""
        ...


class SystemClock:
    """This machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def wait(self, inbox: Inbox, seconds: float) -> None:
        inbox.wait(seconds)
