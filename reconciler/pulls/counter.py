"""Counts what clients of a server ask for, and writes it to a store. Safe for any number of threads."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from reconciler.errors import StoreError
from reconciler.oci.referrers import is_attachment_tag
from reconciler.pulls.counts import MAX_MISSED, MAX_PULLED, NO_COUNTS, Counts, counts_bytes
from reconciler.pulls.tally import Tally
from reconciler.target.layout import LOCK_HEADERS, counts_key
from reconciler.work.threads import repeating

if TYPE_CHECKING:
    from reconciler.stores import Store

logger = logging.getLogger(__name__)

FLUSH_EVERY = 300.0
"""Seconds between two writes: at most 8,928 a month for a server, of a million that R2 has free."""


PULLED, MISSED = "pulled", "missed"


def utc_day() -> date:
    return datetime.now(UTC).date()


@dataclass
class _Day:
    """What was counted on a day. `is_written`: nothing was since the last write."""

    day: date
    pulled: Tally = field(default_factory=lambda: Tally(MAX_PULLED))
    missed: Tally = field(default_factory=lambda: Tally(MAX_MISSED))
    is_written: bool = True

    @property
    def counts(self) -> Counts:
        return Counts(dict(self.pulled.counts), dict(self.missed.counts))


class Counter:
    """Counts of one server. One that is killed loses what it counted since the last write."""

    def __init__(self, store: Store, today: Callable[[], date] = utc_day) -> None:
        self._store, self._today = store, today
        self._writer = secrets.token_hex(8)
        self._changing = threading.Lock()
        self._now = _Day(today())
        self._resolved = {PULLED: 0, MISSED: 0}

    def asked(self, repository: str, tag: str, *, is_there: bool) -> None:
        """Counts that a client resolved a tag, which the mirror has or has not."""
        # Clients look for signatures and referrers of each image by such tags: that they miss them says nothing.
        if not is_attachment_tag(tag):
            with self._changing:
                (self._now.pulled if is_there else self._now.missed).add((repository, tag))
                self._resolved[PULLED if is_there else MISSED] += 1
                self._now.is_written = False

    @property
    def resolved(self) -> Mapping[str, int]:
        """Returns how many tags were resolved since the start, by result."""
        return dict(self._resolved)

    @property
    def counted(self) -> Mapping[str, int]:
        """Returns how many different tags are in memory, by result."""
        return {PULLED: len(self._now.pulled.counts), MISSED: len(self._now.missed.counts)}

    def begin(self) -> None:
        """Writes that nothing was counted yet, to see that the store can be written to. Raises `StoreError`."""
        self._write(self._now.day, NO_COUNTS)

    def flush(self) -> None:
        """Writes what was counted, if anything was. A store that fails is logged: it must not stop the server."""
        with self._changing:
            day, counts, is_written = self._now, self._now.counts, self._now.is_written
            day.is_written = True
            if day.day != self._today():
                self._now = _Day(self._today())
        if not is_written:
            try:
                self._write(day.day, counts)
            except StoreError as error:
                day.is_written = False
                logger.warning("the counts of pulls were not written: %s", error)

    @contextmanager
    def flushing(self, every: float = FLUSH_EVERY) -> Iterator[None]:
        """Writes every so often for the length of the block, and at its end."""
        try:
            with repeating(self.flush, every):
                yield
        finally:
            self.flush()

    def _write(self, day: date, counts: Counts) -> None:
        self._store.put(counts_key(day, self._writer), counts_bytes(day, counts), LOCK_HEADERS)
