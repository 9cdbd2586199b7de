"""Checks the bucket as an apply uses it: credentials, permissions, conditional writes, clock.

Nothing is changed. Write permission is checked with a write whose condition never holds: 412 means allowed, 403 denied.
A server that ignores the condition writes the bytes that an apply would write there.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reconciler.doctor.probe import Probe
from reconciler.doctor.results import CheckResult, Notes
from reconciler.errors import (
    ConditionsRefused,
    IndexInvalid,
    MirrorError,
    PreconditionFailed,
    StoreDenied,
    StoreError,
    Unreachable,
)
from reconciler.http.clock import header_time
from reconciler.stores import WITH_CONDITIONS, Matches
from reconciler.target.catalog import published_lists
from reconciler.target.index import MirrorIndex
from reconciler.target.inventory import INDEX_GONE, held_of
from reconciler.target.layout import JSON_HEADERS, PING
from reconciler.target.ledger import read_index
from reconciler.target.lock import read_lock
from reconciler.words import count

if TYPE_CHECKING:
    from reconciler.stores import Store, Stores
    from reconciler.stores.config import Advice

SKEW, REFUSED_SKEW = 60.0, 900.0
"""Seconds a clock may be off before a warning, and before S3 rejects requests signed with it (RequestTimeTooSkewed)."""

NEVER = '"no object has this etag"'


def read_mirror_index(state: Store, advice: Advice, area: str = "bucket") -> tuple[MirrorIndex | None, CheckResult]:
    """Reads the mirror index. Returns it, or None if that fails, and the result of the check."""
    notes = Notes(area, state.name, advice)
    try:
        stored = read_index(state)
    except IndexInvalid as error:
        return None, notes.error("read", error.why, "restore a good copy, or run `r2mirror adopt`")
    except StoreError as error:
        return None, _failure(notes, "read", error)
    if stored.etag is None:
        return stored.index, notes.ok("read", f"the {area} can be read; it has no mirror index yet")
    tags = sum(len(one.tags) for one in stored.index.repositories.values())
    words = f"serial {stored.index.serial}, {count(tags, 'tag')}"
    return stored.index, notes.ok("read", f"the mirror index can be read: {words}")


def check_for_lost_index(public: Store, targets: Sequence[str], advice: Advice) -> Iterator[CheckResult]:
    """Checks, without a mirror index, whether the bucket has repositories that should be in it."""
    notes = Notes("bucket", public.name, advice)
    try:
        found = held_of(public, targets)
    except StoreError as error:
        yield _failure(notes, "index", error)
        return
    if found:
        yield notes.error("index", INDEX_GONE.format(found), "run `r2mirror adopt`")


def check_bucket(stores: Stores, advice: Advice, area: str = "bucket") -> Iterator[CheckResult]:
    """Checks the lock, and the permissions that an apply needs."""
    state = Notes(area, stores.state.name, advice)
    public = Notes(area, stores.public.name, advice)
    yield from _check_lock(state, stores.state)
    yield _check(public, "list", "keys can be listed", lambda: next(iter(stores.public.list("v2/")), None))
    yield _check_conditional_write(public, stores.public)
    # S3 accepts the deletion of a key that does not exist, but only with the permission to delete.
    nothing = f"_mirror/r2mirror-doctor-{secrets.token_hex(8)}"
    yield _check(public, "delete", "keys may be deleted", lambda: stores.public.delete([nothing]))


def _check_lock(notes: Notes, state: Store) -> Iterator[CheckResult]:
    try:
        holder = read_lock(state)
    except MirrorError as error:
        yield notes.error("lock", str(error), notes.advice.rights)
        return
    if holder and not (holder.has_run_out or holder.has_ended):
        fix = "wait for it; if it hangs, break its lock with `r2mirror unlock`"
        yield notes.warning("lock", f"{holder.who} has been running since {holder.since}", fix)
    elif holder:
        yield notes.warning("lock", f"{holder.who} did not finish", "run `r2mirror apply`: it cleans up")


def _check_conditional_write(notes: Notes, store: Store) -> CheckResult:
    # `v2/_ping` has the same bytes in every mirror: no harm is done if the server ignores the condition and writes it.
    body = published_lists(MirrorIndex(), ())[PING] or b""
    try:
        store.put(PING, body, JSON_HEADERS, Matches(NEVER))
    except PreconditionFailed:
        return notes.ok("write", "writing is allowed, and conditional writes work")
    except ConditionsRefused as error:
        return notes.error("write", error.why, f"use a store with conditional writes: {WITH_CONDITIONS}")
    except StoreError as error:
        return _failure(notes, "write", error)
    return notes.error(
        "write",
        "the server ignores If-Match: concurrent runs could overwrite each other's mirror index",
        f"use a store with conditional writes ({WITH_CONDITIONS}), or never start two runs at the same time",
    )


def _check(notes: Notes, check: str, found: str, attempt: Callable[[], object]) -> CheckResult:
    try:
        attempt()
    except StoreError as error:
        return _failure(notes, check, error)
    return notes.ok(check, found)


def _failure(notes: Notes, check: str, error: StoreError) -> CheckResult:
    fix = notes.advice.rights if isinstance(error, StoreDenied) else notes.advice.place
    return notes.error(check, error.why, fix)


def check_clock(name: str, endpoint: str | None, advice: Advice, area: str = "bucket") -> Iterator[CheckResult]:
    """Compares this machine's clock with the Date header of the server at `endpoint`. Sends no credentials."""
    notes = Notes(area, name, advice)
    if endpoint is None:
        return
    # The Date header has whole seconds, and the request takes a while: an offset of a second or two means nothing.
    before = datetime.now(UTC)
    try:
        with closing(Probe(endpoint)) as probe:
            date = probe.request("HEAD", "/").headers.get("date", "")
    except Unreachable:
        # The checks of the bucket, which use the same endpoint, report that already.
        return
    server = header_time(date)
    if server is None:
        return
    skew = (server - before).total_seconds()
    words = f"this machine's clock is {abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} the server's"
    if abs(skew) > REFUSED_SKEW:
        yield notes.error("clock", f"{words}; S3 rejects signed requests", "set the clock (NTP)")
    elif abs(skew) > SKEW:
        yield notes.warning("clock", words, "set the clock (NTP); beyond 900 s S3 rejects signed requests")
    else:
        yield notes.ok("clock", "this machine's clock matches the server's")
