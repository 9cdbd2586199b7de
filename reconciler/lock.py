"""The advisory lock: tells a second apply to wait its turn. The conditional write of the index is what keeps it safe.

`_mirror/lock.json` names its holder and runs out by itself, so that a holder that died blocks nobody for long. A lock
that was left behind is also the sign that a run did not finish: whoever takes it over puts the published lists right.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from reconciler.errors import LockHeld, Malformed, PreconditionFailed, StoreError
from reconciler.index import format_time, parse_time
from reconciler.layout import LOCK, LOCK_HEADERS
from reconciler.oci import load_json
from reconciler.store import Absent, Matches

if TYPE_CHECKING:
    from reconciler.store import Condition, Store

LIFETIME = timedelta(minutes=2)
"""How long a lock holds without being renewed. Clocks of two machines may differ by a good part of it."""


@dataclass(frozen=True)
class Lock:
    """A lock that is held. `until`: when it runs out unless it is renewed."""

    owner: str
    command: str
    since: datetime
    until: datetime
    etag: str = ""
    taken_over: bool = False

    @property
    def wants_renewal(self) -> bool:
        return datetime.now(UTC) > self.until - LIFETIME * 2 / 3


@dataclass(frozen=True)
class Left:
    """What the lock object says of its holder."""

    holder: str
    owner: str
    since: str
    until: datetime
    etag: str


def acquire(state: Store, command: str) -> Lock:
    """Takes the lock, from a holder whose time is over if need be. Raises `LockHeld`."""
    left = read_lock(state)
    now = datetime.now(UTC)
    if left and left.until > now:
        raise _held(state, left)
    owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
    lock = Lock(owner, command, now, now + LIFETIME, taken_over=left is not None)
    try:
        return _write(state, lock, Matches(left.etag) if left else Absent())
    except PreconditionFailed:
        faster = read_lock(state)
        if faster is None:
            return acquire(state, command)
        raise _held(state, faster) from None


def renew(state: Store, lock: Lock) -> Lock:
    """The lock with a new end. Raises `LockHeld` if it ran out and another apply has taken it over."""
    renewed = replace(lock, until=datetime.now(UTC) + LIFETIME)
    try:
        return _write(state, renewed, Matches(lock.etag))
    except PreconditionFailed:
        other = read_lock(state)
        if other is None:
            return _write(state, renewed, Absent())
        raise _held(state, other) from None


def release(state: Store, lock: Lock) -> None:
    """Gives the lock back, unless it has been taken over meanwhile."""
    left = read_lock(state)
    if left and left.owner == lock.owner:
        state.delete([LOCK])


def leave(state: Store, lock: Lock) -> None:
    """Ends the lock but lets its object stand, as the sign of a run that did not finish.

    A store that fails here is passed over: the lock runs out by itself, and its object is that sign as well.
    """
    with suppress(StoreError):
        left = read_lock(state)
        if left and left.owner == lock.owner:
            _write(state, replace(lock, until=datetime.now(UTC)), Matches(left.etag))


def read_lock(state: Store) -> Left | None:
    """Who holds the lock, or held it and died; None if nobody does. A damaged lock object has run out."""
    stored = state.get(LOCK)
    if stored is None:
        return None
    try:
        match load_json(stored.body, LOCK):
            case {"owner": str(owner), "command": str(command), "since": str(since), "until": str(until)}:
                host, _, process = owner.partition(":")
                holder = f"{command!r} on {host}, process {process.partition(':')[0]}"
                return Left(holder, owner, since, parse_time(until), stored.etag)
            case _:
                raise Malformed(LOCK, "expected owner, command, since and until")
    except Malformed:
        return Left("a damaged lock object", "", "an unknown time", datetime.min.replace(tzinfo=UTC), stored.etag)


def _write(state: Store, lock: Lock, condition: Condition) -> Lock:
    document = {
        "owner": lock.owner,
        "command": lock.command,
        "since": format_time(lock.since),
        "until": format_time(lock.until),
    }
    etag = state.put(LOCK, json.dumps(document).encode(), LOCK_HEADERS, condition)
    return replace(lock, etag=etag)


def _held(state: Store, left: Left) -> LockHeld:
    return LockHeld(f"{state.name}/{LOCK}", left.holder, left.since, format_time(left.until))
