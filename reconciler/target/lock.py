"""The lock: one writer at a time. The conditional write of the mirror index is what keeps tags safe if it fails.

`_mirror/lock.json` names its holder and runs out by itself, so that a holder that died does not block others for long.
Whether it has run out is judged by the store's own clock alone: the object's age against the time that its holder gave
it, a difference of two readings of one clock. No machine's clock needs to be right.

A holder renews its lock in the background. It counts from before each renewal, on a clock that goes on while the
machine sleeps, and sends nothing more from `MARGIN` before another run may take over: no request of its last seconds
is still on its way then.

A lock object that was left behind is also the sign that a run did not finish: the next one puts right what it finds.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from reconciler.errors import LockHeld, LockLost, Malformed, PreconditionFailed, StoreError
from reconciler.frozen import Frozen
from reconciler.oci.spec import load_json
from reconciler.stores import Absent, Matches
from reconciler.target.index_json import format_time, parse_time
from reconciler.target.layout import LOCK, LOCK_HEADERS
from reconciler.target.processes import has_ended, space
from reconciler.work.threads import repeating

if TYPE_CHECKING:
    from reconciler.stores import Condition, Store

logger = logging.getLogger(__name__)

LIFETIME = 120.0
"""Seconds that a lock holds without being renewed."""

MARGIN = 70.0
"""Seconds before its end at which a holder that could not renew the lock stops writing: a request of S3 can take this
long, 10 s to connect and 60 s for its answer (`stores.s3.patience`)."""

RENEW_EVERY = 20.0
LOOK_EVERY = 1.0
"""Seconds between two renewals, and between two reads of a lock that is waited for. A holder can write for
`LIFETIME - MARGIN` seconds after a renewal, so one of them may fail."""


class Holder(Frozen):
    """What the lock object says.

    left       seconds until it runs out, 0 or less if it has
    etag       of the object
    now        when it was read, by the store's clock
    has_ended  whether its holder was a process of this machine that is gone
    """

    who: str
    since: str
    left: float
    owner: str
    etag: str
    now: datetime
    has_ended: bool = False

    @property
    def has_run_out(self) -> bool:
        return self.left <= 0


class Lease:
    """The lock, held and kept alive. Safe to share between threads.

    taken_over  whether another run left it behind
    unfinished  whether to leave it behind as well, so that the next run knows that this one did not finish
    """

    def __init__(self, state: Store, command: str) -> None:
        self.taken_over = False
        self.unfinished = False
        self._state = state
        self._command = command
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(8).hex()}"
        self._since = datetime.now(UTC)
        self._etag = ""
        self._until = 0.0
        self._lost: LockLost | None = None
        self._writing = threading.Lock()

    @property
    def owner(self) -> str:
        """What the lock object names its holder by, no two holders the same."""
        return self._owner

    @property
    def command(self) -> str:
        """What holds the lock, e.g. `r2mirror gc`."""
        return self._command

    def check(self) -> None:
        """Raises `LockLost` if the lock may not be ours any more, as far as that can be told without a request."""
        if self._lost:
            raise self._lost
        if _seconds() > self._until:
            raise self._loss("it could not be renewed in time")

    def confirm(self) -> None:
        """Reads the lock from the store before a write that matters. Raises `LockLost` if it is not ours any more."""
        self.now()

    def now(self) -> datetime:
        """Returns the time by the store's clock, to the second, for what the mirror index records.

        By this machine's clock, which may be wrong, retired digests could be removed too early. Raises `LockLost` as
        `confirm` does.
        """
        self.check()
        holder = read_lock(self._state)
        if holder is None or holder.owner != self._owner:
            self._lost = self._loss(f"now it is held by {holder.who}" if holder else "its object was removed")
            raise self._lost
        return holder.now.replace(microsecond=0)

    def renew(self) -> None:
        """Extends the lock. If the store fails, the next renewal tries again, until `check` says it is too late."""
        try:
            self._write(Matches(self._etag), LIFETIME)
        except PreconditionFailed:
            self._lost = self._loss("another process took it over or removed it")
            logger.info("lost the lock")
        except StoreError as error:
            logger.info("the lock could not be renewed: %s", error)
        else:
            logger.debug("renewed the lock")

    def _take(self) -> None:
        """Raises `LockHeld`."""
        holder = read_lock(self._state)
        if holder and not holder.has_run_out:
            raise _held(self._state, holder)
        self.taken_over = self.unfinished = holder is not None
        try:
            self._write(Matches(holder.etag) if holder else Absent(), LIFETIME)
        except PreconditionFailed:
            # Another run was faster. If that one has given the lock back already, it is free again.
            faster = read_lock(self._state)
            if faster is None:
                self._take()
            else:
                raise _held(self._state, faster) from None
        else:
            logger.info("took %s", f"over the lock of {holder.who}" if holder else "the lock")

    def _give_back(self) -> None:
        """Removes the lock, or ends it and lets its object stand if the work is not finished or it cannot be removed.

        A store that fails here fails no run: the lock runs out by itself, and the log says so.
        """
        try:
            holder = read_lock(self._state)
            if holder is None or holder.owner != self._owner:
                return
            # Not every server has conditional deletes, so the read right before has to do. Should another run take the
            # lock in between, it loses it, and the conditional write of the index keeps the tags safe.
            if self.unfinished or not self._removed():
                self._write(Matches(holder.etag), 0.0)
        except PreconditionFailed:
            logger.info("the lock changed hands before it could be given back")
        except StoreError as error:
            logger.warning("the lock could not be given back, and runs out within %.0f s: %s", LIFETIME, error)

    def _removed(self) -> bool:
        try:
            self._state.delete([LOCK])
        except StoreError as error:
            logger.warning("the lock could not be removed, and is ended in place: %s", error)
            return False
        return True

    def _write(self, condition: Condition, lifetime: float) -> None:
        with self._writing:
            # Counted from before the request: the store's clock starts the lifetime when it writes, which is later.
            started = _seconds()
            body = _body(self._owner, self._command, self._since, lifetime)
            self._etag = self._state.put(LOCK, body, LOCK_HEADERS, condition)
            self._until = started + lifetime - MARGIN

    def _loss(self, why: str) -> LockLost:
        return LockLost(f"{self._state.name}/{LOCK}", why)


class Witness:
    """The lock as seen by workers on other machines: they may write for as long as its holder `owner` may.

    Safe to share between threads.
    """

    def __init__(self, state: Store, owner: str) -> None:
        self._state = state
        self._owner = owner
        self._until = 0.0
        self._looking = threading.Lock()

    def check(self) -> None:
        """Reads the lock again if the last reading is too old. Raises `LockLost` if `owner` may not write any more."""
        with self._looking:
            started = _seconds()
            if started < self._until:
                return
            holder = read_lock(self._state)
            if holder is None or holder.owner != self._owner:
                where = f"{socket.gethostname()}, process {os.getpid()},"
                why = f"{where} does not see it; every worker has to reach the same bucket, or the same shared folder"
                raise LockLost(self._where, f"now it is held by {holder.who}" if holder else why)
            if holder.left <= MARGIN:
                raise LockLost(self._where, "its holder did not renew it in time")
            self._until = started + min(holder.left - MARGIN, RENEW_EVERY)

    @property
    def _where(self) -> str:
        return f"{self._state.name}/{LOCK}"


@contextmanager
def held(
    state: Store, command: str, patience: float = 0.0, waiting: Callable[[LockHeld], None] = lambda _: None
) -> Iterator[Lease]:
    """Holds the lock for the length of the block, and renews it in the background.

    patience  seconds to wait for another holder; `LockHeld` is raised after that
    waiting   called once, with that holder, if there is one to wait for
    """
    lease = Lease(state, command)
    _wait_for(lease, patience, waiting)
    try:
        with repeating(lease.renew, RENEW_EVERY):
            yield lease
    finally:
        # Outside `repeating`, which joins its thread: a renewal on its way would write the lock anew after its removal.
        lease._give_back()


def _wait_for(lease: Lease, patience: float, waiting: Callable[[LockHeld], None]) -> None:
    deadline = time.monotonic() + patience
    told = False
    while True:
        try:
            return lease._take()
        except LockHeld as error:
            rest = deadline - time.monotonic()
            if rest <= 0:
                raise
            if not told:
                waiting(error)
                told = True
            time.sleep(min(LOOK_EVERY, rest))


def read_lock(state: Store) -> Holder | None:
    """Reads who holds the lock, or held it and died; None if it is free. A damaged lock object has run out."""
    stored = state.get(LOCK)
    if stored is None:
        return None
    try:
        match load_json(stored.body, LOCK):
            case {"owner": str(owner), "command": str(command), "since": str(since), "until": str(until), **rest}:
                host, _, process = owner.partition(":")
                who = f"{command!r} on {host}, process {process.partition(':')[0]}"
                left = _lifetime(until, rest.get("renewed")) - stored.age
                ended = has_ended(host, process.partition(":")[0], rest.get("space"))
                return Holder(who, since, left, owner, stored.etag, stored.now, ended)
            case _:
                raise Malformed(LOCK, "expected owner, command, since and until")
    except Malformed:
        return Holder("a damaged lock object", "an unknown time", 0.0, "", stored.etag, stored.now)


def break_lock(state: Store, holder: Holder) -> None:
    """Ends the lock of `holder`, who will notice before the next commit. Its object stays, as that of a dead holder.

    Raises `PreconditionFailed` if the lock has changed hands or was renewed since `holder` was read.
    """
    body = _body("", "r2mirror unlock", datetime.now(UTC), 0.0)
    state.put(LOCK, body, LOCK_HEADERS, Matches(holder.etag))


def _seconds() -> float:
    """Returns the seconds of a clock that goes on while the machine sleeps, if the system has one."""
    # Linux's monotonic clock stops in a suspended laptop, which would wake up believing that it still holds the lock.
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _lifetime(until: str, renewed: object) -> float:
    """Returns the seconds that the lock lasts from its last renewal on: both times are by the holder's clock."""
    if not isinstance(renewed, str):
        return LIFETIME
    return min((parse_time(until) - parse_time(renewed)).total_seconds(), LIFETIME)


def _body(owner: str, command: str, since: datetime, lifetime: float) -> bytes:
    now = datetime.now(UTC)
    document = {
        "owner": owner,
        "space": space(),
        "command": command,
        "since": format_time(since),
        "renewed": format_time(now),
        "until": format_time(now + timedelta(seconds=lifetime)),
    }
    return json.dumps(document).encode()


def _held(state: Store, holder: Holder) -> LockHeld:
    return LockHeld(f"{state.name}/{LOCK}", holder.who, holder.since, max(0, round(holder.left)), holder.has_ended)
