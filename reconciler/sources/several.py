"""One repository with several sources (`source: [a, b]`): the first that has a tag decides what it points to.

A source that fails is followed by the next one, so a registry that is down, or has no pulls left, delays nothing that
another one has. Which source a tag came from is noted: a plan shows it, and decides nothing by the answer of a later
source if an earlier one gave none. What a digest names is the same everywhere, so it may come from any of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from reconciler.errors import BadAnswer, Malformed, NotFound, OutOfTime, SourceError, Unreachable
from reconciler.oci.referrers import is_attachment_tag
from reconciler.oci.spec import INDEX_TYPES, Digest, Index, parse_manifest
from reconciler.sources import BehindLogin, Provenance, quota_of
from reconciler.sources.attached import closing_chunks
from reconciler.sources.mirrored import last_word

if TYPE_CHECKING:
    from reconciler.oci.referrers import ListedAttachments
    from reconciler.oci.spec import Descriptor
    from reconciler.sources import Source
    from reconciler.sources.quota import Quota

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")


@dataclass(frozen=True, eq=False)
class NamedSource:
    """One of the sources, with its name in mirrors.yaml."""

    name: str
    source: Source


class SeveralSources:
    """The `Source` for one repository with several sources, in the order in which they are asked."""

    def __init__(self, sources: Sequence[NamedSource]) -> None:
        self._sources = tuple(sources)
        # The source that an image came from last: its blobs are likely to be there, too.
        self._serving = self._sources[0]
        # Where an image came from, which is where its attachments are read; and who is to serve a manifest instead.
        self._homes: dict[Digest, NamedSource] = {}
        self._carriers: dict[Digest, NamedSource] = {}
        self._lists: dict[str, frozenset[str]] = {}
        self._failed: dict[str, SourceError] = {}
        self._served: dict[str, str] = {}
        self._doubtful: set[str] = set()

    def provenance(self) -> Provenance:
        return Provenance(dict(self._served), dict(self._failed), frozenset(self._doubtful))

    def tags(self) -> tuple[str, ...]:
        failures: list[SourceError] = []
        found: list[tuple[str, ...]] = []
        for one in self._sources:
            try:
                listed = one.source.tags()
            except OutOfTime:
                raise
            except SourceError as error:
                self._note(one, error)
                failures.append(error)
            else:
                self._lists[one.name] = frozenset(listed)
                found.append(listed)
        if not found:
            raise _verdict(failures)
        return tuple(dict.fromkeys(chain.from_iterable(found)))

    def resolve(self, reference: str) -> Descriptor:
        if is_attachment_tag(reference):
            return self._home(_subject(reference)).source.resolve(reference)
        if ":" in reference:
            return self._first(self._order(Digest.parse(reference)), lambda one: one.source.resolve(reference))
        return self._resolve_tag(reference)

    def _resolve_tag(self, tag: str) -> Descriptor:
        failures: list[SourceError] = []
        for one in self._sources:
            try:
                found = self._asked(one).resolve(tag)
            except OutOfTime:
                raise
            except SourceError as error:
                self._note(one, error)
                failures.append(error)
            else:
                self._came(tag, found.digest, one, failures)
                return found
        if any(isinstance(one, NotFound) for one in failures):
            self._doubt(tag, failures)
        raise _verdict(failures)

    def _asked(self, one: NamedSource) -> Source:
        """Returns a source to resolve a tag at. Raises why it could not be reached before: each attempt takes long."""
        failed = self._failed.get(one.name)
        if isinstance(failed, Unreachable):
            raise failed
        return one.source

    def _came(self, tag: str, digest: Digest, one: NamedSource, failures: Iterable[SourceError]) -> None:
        self._homes[digest] = one
        self._doubt(tag, failures)
        if one is not self._sources[0]:
            self._served[tag] = one.name

    def _doubt(self, tag: str, failures: Iterable[SourceError]) -> None:
        if not all(isinstance(error, NotFound) for error in failures):
            self._doubtful.add(tag)

    def described(self, digest: Digest) -> Descriptor:
        return self._first(self._order(digest), lambda one: one.source.described(digest))

    def manifest(self, descriptor: Descriptor) -> bytes:
        def fetched(one: NamedSource) -> bytes:
            body = one.source.manifest(descriptor)
            self._serving = one
            # The rest of the image comes from there, too: pulls were counted there.
            self._carriers.update((child, one) for child in _children(descriptor, body))
            return body

        return self._first(self._order(descriptor.digest), fetched)

    def blob(self, descriptor: Descriptor) -> Generator[bytes, None, None]:
        """Fetches a blob from the first source that has it. A transfer that fails half-way goes on at the next one."""
        failures: list[SourceError] = []
        passed = 0
        for one in self._order(descriptor.digest):
            try:
                with closing_chunks(one.source.blob(descriptor)) as chunks:
                    for chunk in _after(chunks, passed):
                        passed += len(chunk)
                        yield chunk
            except SourceError as error:
                # Bytes that cannot be right are not continued elsewhere: the blob is fetched again as a whole.
                if isinstance(error, OutOfTime) or (passed and isinstance(error, BadAnswer)):
                    raise
                logger.info("%s; asking the next source", error)
                failures.append(error)
            else:
                return
        raise _verdict(failures)

    def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        found = self._home(subject)
        listed = found.source.referrers(subject)
        self._carriers.update((one.digest, found) for one in listed or ())
        return listed

    def attachments(self, subject: Digest, listed: frozenset[str] | None) -> ListedAttachments:
        """Lists what is attached to a digest at the source that the image came from, and nowhere else."""
        found = self._home(subject)
        attached = found.source.attachments(subject, listed and self._lists.get(found.name))
        own = (*(attached.referrers or ()), *attached.tags.values())
        self._carriers.update((one.digest, found) for one in own)
        return attached

    def wants_login(self, digest: Digest) -> bool:
        found = self._home(digest).source
        return isinstance(found, BehindLogin) and found.wants_login(digest)

    def quota(self, known: Descriptor | None = None, *, again: bool = False) -> Quota | None:
        """Returns the quota of the source that a manifest comes from."""
        one = self._carrier(known.digest) if known else self._serving
        return quota_of(one.source, known, again=again)

    def afford(self, known: Descriptor, pulls: int) -> Quota | None:
        """Chooses the source that a manifest comes from: the first that has it and so many pulls left."""
        first = self._carrier(known.digest)
        quota = quota_of(first.source, known)
        if quota is None or quota.usable >= pulls:
            return quota
        for one in (one for one in self._sources if one is not first and _has(one, known)):
            other = quota_of(one.source, known)
            if other is None or other.usable >= pulls:
                logger.info("%s; %s has the image, too", quota, one.name)
                self._carriers[known.digest] = one
                return other
        return quota

    def _carrier(self, digest: Digest) -> NamedSource:
        return self._carriers.get(digest) or self._home(digest)

    def _home(self, digest: Digest) -> NamedSource:
        """Returns the source that an image came from; if it is not known, the first that has it."""
        if digest not in self._homes:

            def found(one: NamedSource) -> NamedSource:
                one.source.resolve(str(digest))
                return one

            self._homes[digest] = self._first(self._sources, found)
        return self._homes[digest]

    def _order(self, digest: Digest) -> Sequence[NamedSource]:
        first = self._carriers.get(digest) or self._homes.get(digest) or self._serving
        return (first, *(one for one in self._sources if one is not first))

    def _first(self, sources: Sequence[NamedSource], ask: Callable[[NamedSource], Answer]) -> Answer:
        failures: list[SourceError] = []
        for one in sources:
            try:
                return ask(one)
            except OutOfTime:
                raise
            except SourceError as error:
                logger.info("%s; asking the next source", error)
                failures.append(error)
        raise _verdict(failures)

    def _note(self, one: NamedSource, error: SourceError) -> None:
        """Notes that a source gave no answer about its tags. That it does not have them is an answer."""
        if not isinstance(error, NotFound):
            self._failed.setdefault(one.name, error)


def _subject(tag: str) -> Digest:
    """Returns the digest that a tag of an attachment belongs to."""
    return Digest.parse(tag.partition(".")[0].replace("-", ":", 1))


def _children(descriptor: Descriptor, body: bytes) -> tuple[Digest, ...]:
    """Returns the manifests that an index lists. What is wrong with it is reported where it is read."""
    if descriptor.media_type in INDEX_TYPES:
        with suppress(Malformed):
            found = parse_manifest(body, descriptor.media_type, str(descriptor.digest))
            return tuple(one.digest for one in found.manifests) if isinstance(found, Index) else ()
    return ()


def _has(one: NamedSource, known: Descriptor) -> bool:
    try:
        return bool(one.source.resolve(str(known.digest)))
    except OutOfTime:
        raise
    except SourceError:
        return False


def _after(chunks: Iterable[bytes], count: int) -> Generator[bytes, None, None]:
    """Yields the chunks without their first `count` bytes."""
    for chunk in chunks:
        if count < len(chunk):
            yield chunk[count:]
        count = max(count - len(chunk), 0)


def _verdict(failures: Sequence[SourceError]) -> SourceError:
    return last_word(failures, has_home=False, others="Other sources")
