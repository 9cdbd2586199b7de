"""Which repositories of the bucket hold which blobs, as far as a run knows. It lists more of them where that pays."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from reconciler.oci.spec import Descriptor, Digest
from reconciler.target.reuse import Download, is_worth_listing, nearest, requests_for, way

if TYPE_CHECKING:
    from reconciler.target.protocol import Target
    from reconciler.target.reuse import Way


class BlobHolders:
    """The holders of blobs, for many threads.

    destination  the target
    sources      target -> source of the repositories that may be copied from
    """

    def __init__(self, destination: Target, sources: Mapping[str, str]) -> None:
        self._destination = destination
        self._sources = dict(sources)
        self._nearest: dict[str, str | None] = {}
        self._unlisted = dict(sources)
        self._holders: dict[tuple[Digest, int], str] = {}
        self._lacked: set[Digest] = set()
        self._missing = self._requests = 0
        # Two locks: every thread that moves a blob reads and notes what is known, all the time. A listing takes
        # seconds, and only the threads that would have to list as well wait for it.
        self._knowing = threading.Lock()
        self._listing = threading.Lock()

    def listed(self, repository: str, found: Mapping[Digest, int]) -> None:
        """Notes a listing that was made for another reason."""
        with self._knowing:
            if self._unlisted.pop(repository, None):
                self._note(repository, found)

    def lacks(self, missing: Iterable[Descriptor]) -> None:
        """Notes blobs that a repository lacks: the more bytes are missing, the more listings are worth it."""
        with self._knowing:
            for blob in missing:
                if blob.digest not in self._lacked:
                    self._lacked.add(blob.digest)
                    self._missing += blob.size

    def got(self, repository: str, blob: Descriptor) -> None:
        """Notes a blob that was written."""
        with self._knowing:
            self._note(repository, {blob.digest: blob.size})

    def way(self, blob: Descriptor, source: str) -> Way:
        """Decides how a blob gets into the repository with this source, which lacks it. Raises `StoreError`."""
        found = self._known(blob)
        if isinstance(found, Download):
            with self._listing:
                # Another thread may have found it while this one waited.
                while isinstance(found := self._known(blob), Download) and self._list_next(source):
                    pass
        return found

    def likely(self, source: str, target: str) -> str | None:
        """Returns the repository most likely to share blobs with `target`; None if there are no others."""
        if target not in self._nearest:
            others = {name: one for name, one in self._sources.items() if name != target}
            self._nearest[target] = nearest(source, others) if others else None
        return self._nearest[target]

    def _known(self, blob: Descriptor) -> Way:
        with self._knowing:
            return way(blob, {}, self._holders)

    def _list_next(self, source: str) -> bool:
        """Lists the next repository; False if there is none, or it would cost more than it can save."""
        with self._knowing:
            if not self._unlisted or not is_worth_listing(self._missing, self._requests):
                return False
            repository = nearest(source, self._unlisted)
            del self._unlisted[repository]
        found = self._destination.repository(repository).blobs()
        with self._knowing:
            self._requests += requests_for(len(found))
            self._note(repository, found)
        return True

    def _note(self, repository: str, found: Mapping[Digest, int]) -> None:
        for digest, size in found.items():
            self._holders.setdefault((digest, size), repository)
