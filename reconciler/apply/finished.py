"""A run that has ended, as metrics and notifications see it, and the account that is kept of it on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reconciler.apply.outcome import Failed, ImmutableTagMoved, Replanned, Skipped
from reconciler.errors import ImmutableMoved, MirrorError, SourceError, StoreError
from reconciler.frozen import Frozen
from reconciler.target.removable import NotCollected

if TYPE_CHECKING:
    from reconciler.apply.outcome import Event
    from reconciler.plan.plan import Plan

SUCCESS, INCOMPLETE, ERROR, INTERRUPTED = "success", "incomplete", "error", "interrupted"
RESULTS = (SUCCESS, INCOMPLETE, ERROR, INTERRUPTED)
"""How a run can end: all is as planned; something failed or was skipped; it could not go on; it was stopped."""


class Failure(Frozen):
    """One thing that went wrong.

    target  the repository; None: the run as a whole
    tag     None: the repository as a whole
    why     one of `errors.REASONS`
    """

    target: str | None
    tag: str | None
    why: str
    words: str


class Finished(Frozen):
    """A run that has ended.

    name       that of the mirrors file
    store      the name of the store, empty where the file has one `store`
    at         when it ended
    copied     bytes that were downloaded
    lock_wait  seconds until it had the lock
    plan       what it was to do; None: it failed before there was a plan
    serial     that of the mirror index afterwards; None: not known
    error      what ended it early
    is_whole   whether it was about all repositories of the file
    """

    name: str
    store: str
    at: datetime
    seconds: float
    copied: int = 0
    lock_wait: float = 0.0
    plan: Plan | None = None
    events: tuple[Event, ...] = ()
    serial: int | None = None
    error: MirrorError | None = None
    interrupted: bool = False
    is_whole: bool = True

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Returns everything that went wrong: of the run, of the plan, of its changes."""
        return (*self._early_end(), *self._plan_failures(), *filter(None, map(_failure, self.events)))

    @property
    def result(self) -> str:
        """Returns one of `RESULTS`."""
        if self.interrupted:
            return INTERRUPTED
        if self.error:
            return ERROR
        return INCOMPLETE if self.failures else SUCCESS

    def _early_end(self) -> Iterator[Failure]:
        if self.error:
            yield Failure(None, None, self.error.reason, str(self.error))

    def _plan_failures(self) -> Iterator[Failure]:
        for one in self.plan.repositories if self.plan else ():
            if one.error:
                # Tags that moved are events of the apply too, one by one.
                for why in one.reasons or (SourceError.reason,):
                    if why != ImmutableMoved.reason:
                        yield Failure(one.target, None, why, one.error)


def _failure(event: Event) -> Failure | None:
    match event:
        case Failed(target, change, error, why):
            return Failure(target, change.tag, why, error)
        case Skipped(target, change, reason, why):
            return Failure(target, change.tag, why, reason)
        case ImmutableTagMoved(target, tag, before, after):
            words = f"the immutable tag moved at the source, from {before} to {after}; it stays as it is mirrored"
            return Failure(target, tag, ImmutableMoved.reason, words)
        case NotCollected():
            return Failure(event.target, None, StoreError.reason, event.error)
        case _:
            return None


class Account:
    """Keeps account of one run while it is planned and applied.

    targets  all that mirrors.yaml has for the store, of which the run may be about some
    began  whether there is anything to account for: a plan that was made or failed, not one that a user turned down
    """

    def __init__(
        self, name: str, store: str, targets: Collection[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.began = False
        self.copied = 0
        self._name = name
        self._store = store
        self._targets = targets
        self._clock = clock
        self._started = clock()
        self._seconds = 0.0
        self._plan: Plan | None = None
        self._events: list[Event] = []
        self._lock_wait = 0.0
        self._serial: int | None = None
        self._error: MirrorError | None = None
        self._interrupted = False

    @contextmanager
    def following(self) -> Iterator[None]:
        """Notes what ends the block early, and lets it through."""
        try:
            yield
        except MirrorError as error:
            self.failed(error)
            raise
        except KeyboardInterrupt:
            self.stopped()
            raise
        finally:
            self._seconds = self._clock() - self._started

    def planned(self, plan: Plan) -> None:
        """Notes the plan that is about to be applied."""
        self.began = True
        self._plan, self._serial = plan, plan.serial

    def add(self, event: Event) -> None:
        """Notes an event of the apply."""
        if isinstance(event, Replanned):
            self.planned(event.plan)
            # The new plan tells of them again.
            self._events = [one for one in self._events if not isinstance(one, ImmutableTagMoved)]
        else:
            self._events.append(event)

    def locked(self, seconds: float) -> None:
        """Notes that the lock is held, and how long that took."""
        self._lock_wait += seconds

    def recorded(self, serial: int) -> None:
        """Notes the serial of the mirror index that was written."""
        self._serial = serial

    def failed(self, error: MirrorError) -> None:
        """Notes the error that ended the run."""
        self.began = True
        self._error = error

    def stopped(self) -> None:
        """Notes that the run was interrupted."""
        self.began = self._interrupted = True

    def finished(self, at: datetime | None = None) -> Finished:
        """Returns the run as it ended."""
        return Finished(
            self._name,
            self._store,
            at or datetime.now(UTC),
            self._seconds,
            self.copied,
            self._lock_wait,
            self._plan,
            tuple(self._events),
            self._serial,
            self._error,
            self._interrupted,
            self._plan is None or {one.target for one in self._plan.repositories}.issuperset(self._targets),
        )
