"""Sources that several targets share in one run: asked once, and read once.

What a source has answered is remembered, errors too. Blobs and manifests that an earlier target of the run has are
read from there. Bytes are verified by their reader as always, and a blob that is wrong or cut off there is fetched from
the source.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from reconciler.errors import BadAnswer, SourceError, StoreError
from reconciler.sources import BehindLogin, Provenance, afford, provenance_of, quota_of, resolve_again

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.oci.referrers import ListedAttachments
    from reconciler.oci.spec import Descriptor, Digest
    from reconciler.sources import OpenSource, Source
    from reconciler.sources.quota import Quota
    from reconciler.target.protocol import Target, TargetRepository

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

MAX_KEPT = 32 * 1024 * 1024
"""Bytes of manifests that are kept in memory for the next targets."""


class SharedSources:
    """The sources of one run, for many threads. Call it to open one."""

    def __init__(self, open_source: OpenSource) -> None:
        self._open = open_source
        self._sources: dict[str, SharedSource] = {}
        self._holders = defaultdict[str, list["TargetRepository"]](list)
        self._kept = _Kept()
        self._lock = threading.Lock()

    def __call__(self, source: str) -> SharedSource:
        with self._lock:
            if source not in self._sources:
                self._sources[source] = SharedSource(source, self._open(source), self._holders[source], self._kept)
            return self._sources[source]

    def filled(self, mirrors: Mirrors, target: Target) -> None:
        """Notes a target that was applied: later targets read from it what it has."""
        with self._lock:
            for mirror in mirrors.mirrors:
                self._holders[mirror.source].append(target.repository(mirror.target))
            for source in self._sources.values():
                source.begin_target()


class SharedSource:
    """One source, shared.

    holders  the repositories of earlier targets with the images of this source
    """

    def __init__(self, name: str, source: Source, holders: list[TargetRepository], kept: _Kept) -> None:
        self._name = name
        self._source = source
        self._holders = holders
        self._kept = kept
        self._answers: dict[Hashable, Any] = {}
        self._opened: set[Digest] = set()

    def begin_target(self) -> None:
        """Lets the next target read each blob from an earlier one, once."""
        self._opened = set()

    def provenance(self) -> Provenance:
        return provenance_of(self._source)

    def afford(self, known: Descriptor, pulls: int) -> Quota | None:
        return afford(self._source, known, pulls)

    def tags(self) -> tuple[str, ...]:
        return self._once("tags", self._source.tags)

    def resolve(self, reference: str) -> Descriptor:
        return self._once(("resolve", reference), partial(self._source.resolve, reference))

    def resolve_again(self, tag: str, known: Descriptor) -> Descriptor:
        # Each target may know another digest: all get what the source has.
        return self._once(("resolve", tag), partial(resolve_again, self._source, tag, known))

    def described(self, digest: Digest) -> Descriptor:
        return self._once(("described", digest), partial(self._source.described, digest))

    def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        return self._once(("referrers", subject), partial(self._source.referrers, subject))

    def attachments(self, subject: Digest, listed: frozenset[str] | None) -> ListedAttachments:
        key = ("attachments", subject, listed is None)
        return self._once(key, partial(self._source.attachments, subject, listed))

    def wants_login(self, digest: Digest) -> bool:
        source = self._source
        return isinstance(source, BehindLogin) and self._once(("login", digest), partial(source.wants_login, digest))

    def quota(self, known: Descriptor | None = None, *, again: bool = False) -> Quota | None:
        return quota_of(self._source, known, again=again)

    def has_fetched(self, digest: Digest) -> bool:
        """Returns whether a manifest can be had without the source, and keeps it if so."""
        return self._kept.get(digest) is not None or any(self._found(one, digest) for one in tuple(self._holders))

    def manifest(self, descriptor: Descriptor) -> bytes:
        body = self._kept.get(descriptor.digest)
        if body is None or len(body) != descriptor.size:
            body = self._source.manifest(descriptor)
            self._kept.add(descriptor.digest, body)
        return body

    def blob(self, descriptor: Descriptor) -> Iterator[bytes]:
        # Once for each target: what came from an earlier one and was refused is fetched from the source.
        if descriptor.digest not in self._opened:
            self._opened.add(descriptor.digest)
            for holder in tuple(self._holders):
                chunks = self._held(holder, descriptor.digest)
                if chunks is not None:
                    return chunks
        return self._source.blob(descriptor)

    def _once(self, key: Hashable, ask: Callable[[], Answer]) -> Answer:
        if key not in self._answers:
            try:
                self._answers[key] = ask()
            except SourceError as error:
                self._answers[key] = error
        answer = self._answers[key]
        if isinstance(answer, SourceError):
            raise answer
        found: Answer = answer
        return found

    def _found(self, holder: TargetRepository, digest: Digest) -> bool:
        try:
            body = holder.manifest_body(digest)
        except StoreError as error:
            logger.info("%s; reading it from the source", error)
            return False
        if body is None or not digest.matches(body):
            return False
        self._kept.add(digest, body)
        return True

    def _held(self, holder: TargetRepository, digest: Digest) -> Iterator[bytes] | None:
        """Opens a blob at an earlier target; None if it cannot be read there."""
        try:
            chunks = holder.blob(digest)
        except StoreError as error:
            logger.info("%s; reading it from the source", error)
            return None
        return None if chunks is None else self._passed(chunks, holder.blob_key(digest))

    def _passed(self, chunks: Iterator[bytes], key: str) -> Iterator[bytes]:
        """Passes chunks on. A store that fails is then not taken for the one that is written to."""
        try:
            yield from chunks
        except StoreError as error:
            raise BadAnswer(self._name, f"{key} cannot be read from an earlier store: {error}") from None


class _Kept:
    """The manifests that were read last, up to `MAX_KEPT` bytes of them. Threads may share it."""

    def __init__(self) -> None:
        self._bodies: OrderedDict[Digest, bytes] = OrderedDict()
        self._free = MAX_KEPT
        self._lock = threading.Lock()

    def get(self, digest: Digest) -> bytes | None:
        with self._lock:
            return self._bodies.get(digest)

    def add(self, digest: Digest, body: bytes) -> None:
        with self._lock:
            if digest not in self._bodies and len(body) <= MAX_KEPT:
                self._bodies[digest] = body
                self._free -= len(body)
            while self._free < 0:
                _, dropped = self._bodies.popitem(last=False)
                self._free += len(dropped)
