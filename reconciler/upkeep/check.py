"""Compares one repository with the mirror index: every tag and retired digest, down to its last blob.

    manifests, tags  read, hashed and parsed; their headers compared
    blobs            by a listing's sizes; with `deep` read and hashed as well
    attachments      what came along with an image: read like any other; its lists against what they have to say

Changes nothing; `repair` fixes what is found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from reconciler.errors import Malformed
from reconciler.frozen import Frozen
from reconciler.oci.image import walk, walk_waves
from reconciler.oci.platform_sizes import downloads
from reconciler.oci.referrers import merged
from reconciler.oci.spec import Descriptor, Digest, Index, Manifest, parse_manifest
from reconciler.stores.headers import headers_differ
from reconciler.target.asked import Asked
from reconciler.target.layout import manifest_headers
from reconciler.target.protocol import Referrers
from reconciler.upkeep.defects import Defect, DefectKind
from reconciler.upkeep.roots import Root, expected_tags, roots_of
from reconciler.work.threads import each

if TYPE_CHECKING:
    from reconciler.target.index import RepositoryState
    from reconciler.target.inventory import Inventory
    from reconciler.target.protocol import Found, Target, TargetRepository


class Report(Frozen):
    """What was found in one repository.

    there   what a listing shows
    broken  digests whose objects have to be written again
    hurt    root -> the wrong keys of what it reaches, for each root that cannot be pulled whole with the right headers
    bodies  digest -> the right bytes of a root whose own object is broken, where a tag's object still has them
    lists   the right content of each list of referrers that is wrong
    images  tagged digest -> what a client downloads, platform -> bytes
    """

    target: str
    state: RepositoryState
    there: Inventory
    defects: tuple[Defect, ...]
    broken: frozenset[Digest]
    hurt: Mapping[Root, frozenset[str]]
    bodies: Mapping[Digest, bytes]
    lists: tuple[Referrers, ...]
    images: Mapping[Digest, Mapping[str, int] | None]


def check_repository(
    destination: Target, target: str, state: RepositoryState, executor: Executor, *, deep: bool = False
) -> Report:
    """Compares one repository with its entry in the mirror index. Raises `StoreError` if the store itself fails."""
    return _Check(destination.repository(target), state, executor).report(deep=deep)


Parsed: TypeAlias = Manifest | Index


@dataclass
class _Seen:
    """What has been read of a repository so far."""

    manifests: dict[Digest, Parsed] = field(default_factory=dict)
    blobs: dict[Digest, Descriptor] = field(default_factory=dict)
    defects: list[Defect] = field(default_factory=list)
    broken: set[Digest] = field(default_factory=set)
    bodies: dict[Digest, bytes] = field(default_factory=dict)


class _Step(NamedTuple):
    """A manifest on the way down from a root: which children of an index are needed is for its root to say."""

    root: Root
    digest: Digest
    media_type: str


class _Check:
    """The check of one repository, whose manifests are read level by level, each level in parallel."""

    def __init__(self, repository: TargetRepository, state: RepositoryState, executor: Executor) -> None:
        self._repository = repository
        self._target = repository.name
        self._state = state
        self._attachments = merged(state.attachments.values())
        self._tags = expected_tags(state, self._attachments)
        self._there = repository.contents()
        self._executor = executor
        self._seen = _Seen()
        self._wrong_tags: set[str] = set()
        self._lists: list[Referrers] = []

    def report(self, *, deep: bool) -> Report:
        roots = roots_of(self._state, self._tags, self._attachments)
        # Tags first: their objects have the bytes of their manifests, which stand in for a broken object by digest.
        # Then the manifests: they say which blobs there have to be, and what the lists of referrers have to contain.
        self._check_tags()
        self._follow(roots)
        self._check_blobs(deep=deep)
        self._check_referrers()
        seen = self._seen
        hurt = {root: wrong for root in roots if (wrong := frozenset(self._wrong_with(root)))}
        defects = tuple(sorted(seen.defects, key=lambda defect: defect.key))
        broken = frozenset(seen.broken)
        bodies = {digest: body for digest, body in seen.bodies.items() if digest in broken}
        images = {root.digest: downloads(root.digest, seen.manifests) for root in roots if root.tags}
        return Report(self._target, self._state, self._there, defects, broken, hurt, bodies, tuple(self._lists), images)

    def _check_tags(self) -> None:
        for tag, stored in each(self._executor, self._repository.manifest, self._tags):
            state = self._tags[tag]
            key = self._repository.manifest_key(tag)
            if tag in self._state.pending:
                # It may point at the old image or at the new one; only the run that began it can tell.
                detail = "an apply began this and has not recorded it; if none is at work, apply again"
                self._seen.defects.append(Defect(self._target, key, DefectKind.OUT_OF_STEP, detail))
                continue
            if stored is None:
                defect = (DefectKind.MISSING, f"expected the bytes of {state.digest}")
            elif not state.digest.matches(stored.body):
                found = Digest.of(stored.body, state.digest.algorithm)
                defect = (DefectKind.OUT_OF_STEP, f"points at {found}, the mirror index says {state.digest}")
            else:
                self._seen.bodies[state.digest] = stored.body
                differ = headers_differ(stored.headers, manifest_headers(state.media_type, tag))
                if not differ:
                    continue
                defect = (DefectKind.WRONG_HEADERS, differ)
            self._wrong_tags.add(tag)
            self._seen.defects.append(Defect(self._target, key, *defect))

    def _follow(self, roots: Iterable[Root]) -> None:
        """Reads every manifest that the roots need, once each, and notes the blobs."""
        steps = [_Step(root, root.digest, root.descriptor.media_type if root.descriptor else "") for root in roots]
        for _ in walk_waves(steps, self._read_wave, self._below, set()):
            pass

    def _read_wave(self, wave: Sequence[_Step]) -> Sequence[_Step]:
        known = self._seen.manifests.keys() | self._seen.broken
        unread = {(step.digest, step.media_type): None for step in wave if step.digest not in known}
        for (digest, media_type), stored in each(self._executor, self._get_digest, unread):
            parsed = self._parsed(digest, media_type, stored)
            if parsed:
                self._seen.blobs.update({blob.digest: blob for blob in parsed.blobs})
        return wave

    def _below(self, step: _Step) -> Iterable[_Step]:
        parsed = self._seen.manifests.get(step.digest)
        children = step.root.choose(parsed, self._there) if isinstance(parsed, Index) else ()
        return [_Step(step.root, child.digest, child.media_type) for child in children]

    def _parsed(self, digest: Digest, media_type: str, stored: Found | None) -> Parsed | None:
        """Notes what is wrong with a manifest, and returns it; None if its right bytes are not in the bucket."""
        key = self._repository.manifest_key(digest)
        body = stored.body if stored and digest.matches(stored.body) else None
        if stored is None:
            self._note(digest, key, DefectKind.MISSING, "expected a manifest")
        elif body is None:
            self._note(digest, key, DefectKind.WRONG_BYTES, f"its bytes have the digest {Digest.of(stored.body)}")
        if body is None:
            # Broken, but a tag has its bytes: what it refers to can be checked all the same, and repaired in one go.
            body = self._seen.bodies.get(digest)
        if body is None:
            return None
        try:
            parsed = parse_manifest(body, media_type, key)
        except Malformed as error:
            self._note(digest, key, DefectKind.WRONG_BYTES, error.why)
            return None
        differ = stored and headers_differ(stored.headers, manifest_headers(media_type or parsed.media_type, digest))
        if differ and digest not in self._seen.broken:
            self._note(digest, key, DefectKind.WRONG_HEADERS, differ)
        self._seen.manifests[digest] = parsed
        return parsed

    def _check_blobs(self, *, deep: bool) -> None:
        whole = []
        if isinstance(self._there.blobs, Asked):
            self._there.blobs.look_up(self._seen.blobs, self._executor)
        for digest, blob in self._seen.blobs.items():
            size = self._there.blobs.get(digest)
            key = self._repository.blob_key(digest)
            if size is None:
                self._note(digest, key, DefectKind.MISSING, f"expected a blob of {blob.size} bytes")
            elif size != blob.size:
                self._note(digest, key, DefectKind.WRONG_SIZE, f"expected {blob.size} bytes, has {size}")
            else:
                whole.append(digest)
        if deep:
            for digest, found in each(self._executor, self._hash, whole):
                if found != digest:
                    detail = f"its bytes have the digest {found}" if found else "was deleted since it was listed"
                    self._note(digest, self._repository.blob_key(digest), DefectKind.WRONG_BYTES, detail)

    def _check_referrers(self) -> None:
        def compare(expected: Referrers) -> list[tuple[str, str]]:
            return list(self._repository.wrong_referrers(expected))

        for expected, found in each(self._executor, compare, self._expected_lists()):
            if found:
                self._lists.append(expected)
            self._seen.defects += [Defect(self._target, key, DefectKind.OUT_OF_STEP, why) for key, why in found]

    def _expected_lists(self) -> Iterator[Referrers]:
        """Yields the lists of referrers as they should be, except where a referrer is broken, a defect of its own."""
        own_tags = self._state.own_tags
        for subject, one in self._attachments.items():
            parsed = {digest: self._seen.manifests.get(digest) for digest in one.referrers}
            entries = tuple((digest, self._there.manifests.get(digest, 0), it) for digest, it in parsed.items() if it)
            if len(entries) == len(parsed):
                yield Referrers(subject, entries, own_tags)

    def _wrong_with(self, root: Root) -> Iterator[str]:
        """Yields the wrong keys among those that the root reaches."""
        yield from (self._repository.manifest_key(tag) for tag in self._wrong_tags.intersection(root.tags))

        def below(one: tuple[Digest, Parsed | None]) -> tuple[Descriptor, ...]:
            return root.choose(one[1], self._there) if isinstance(one[1], Index) else ()

        # From memory: every manifest was read by `_follow`.
        start = root.descriptor or Descriptor("", root.digest, 0)
        for digest, parsed in walk([start], lambda one, _: (one.digest, self._seen.manifests.get(one.digest)), below):
            if digest in self._seen.broken:
                yield self._repository.manifest_key(digest)
            broken = [blob.digest for blob in parsed.blobs if blob.digest in self._seen.broken] if parsed else ()
            yield from (self._repository.blob_key(blob) for blob in broken)

    def _note(self, digest: Digest, key: str, kind: DefectKind, detail: str) -> None:
        self._seen.broken.add(digest)
        self._seen.defects.append(Defect(self._target, key, kind, detail))

    def _get_digest(self, one: tuple[Digest, str]) -> Found | None:
        return self._repository.manifest(one[0])

    def _hash(self, digest: Digest) -> Digest | None:
        chunks = self._repository.blob(digest)
        if chunks is None:
            return None
        hashing = hashlib.new(digest.algorithm)
        for chunk in chunks:
            hashing.update(chunk)
        return Digest(digest.algorithm, hashing.hexdigest())
