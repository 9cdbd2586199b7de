"""Verifies that the bucket holds what the mirror index says: every tag and retired digest, down to its last blob.

    manifests, tags  read, hashed and parsed; their headers compared
    blobs            by a listing's sizes; read and hashed as well where the look is `deep`
    attachments      what came along with an image: read like any other; its lists against what they have to say
    lists            tags/list, _catalog, _ping and the catalog page against what the index makes of them
    unknown tags     tag objects in our repositories that the index does not know

Changes nothing; `repair` fixes what is found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import Malformed
from reconciler.oci.image import choose_platforms, walk
from reconciler.oci.platform_sizes import downloads
from reconciler.oci.referrers import is_attachment_tag, merged
from reconciler.oci.spec import Descriptor, Digest, Index, Manifest, Platform, parse_manifest
from reconciler.target.catalog import in_step, is_foreign, published_lists
from reconciler.target.layout import ManifestKey, list_headers, manifest_headers, parse_key
from reconciler.target.referrer_list import published_list
from reconciler.target.repository import Repository
from reconciler.work.threads import each

if TYPE_CHECKING:
    from reconciler.oci.referrers import Record
    from reconciler.stores import Store, Stored
    from reconciler.stores.headers import Headers
    from reconciler.target.index import MirrorIndex, RepositoryState
    from reconciler.target.inventory import Inventory
    from reconciler.target.referrer_list import PublishedList


class Problem(StrEnum):
    MISSING = "missing"
    WRONG_SIZE = "wrong size"
    WRONG_BYTES = "wrong bytes"
    WRONG_HEADERS = "wrong headers"
    OUT_OF_STEP = "out of step"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """One object that is not as it should be. `target` is None for what belongs to no repository."""

    target: str | None
    key: str
    problem: Problem
    detail: str


@dataclass(frozen=True)
class Root:
    """A digest that has to be whole, with the tags that point at it.

    A retired one has no tags, and neither its descriptor nor which platforms were mirrored of it is known any more.
    """

    digest: Digest
    descriptor: Descriptor | None = None
    platforms: tuple[Platform, ...] | None = None
    tags: tuple[str, ...] = ()

    def choose(self, index: Index, there: Inventory) -> tuple[Descriptor, ...]:
        """The manifests of `index` that have to be there."""
        if not self.tags:
            return tuple(child for child in index.manifests if child.digest in there.manifests)
        try:
            return choose_platforms(index, self.platforms, str(self.digest))
        except Malformed:
            return ()


@dataclass(frozen=True)
class Report:
    """What was found in one repository.

    there   what a listing shows
    broken  digests whose objects have to be written again
    hurt    the roots that cannot be pulled whole and under the right headers, and the keys that are wrong of each
    bodies  of roots whose own object is broken: the right bytes, where a tag's object has them
    lists   each list of referrers that is not as it should be, as it should be
    images  of each tagged digest: what a client downloads, platform -> bytes
    """

    target: str
    state: RepositoryState
    there: Inventory
    findings: tuple[Finding, ...]
    broken: frozenset[Digest]
    hurt: Mapping[Root, frozenset[str]]
    bodies: Mapping[Digest, bytes]
    lists: tuple[PublishedList, ...]
    images: Mapping[Digest, Mapping[str, int] | None]


def check_repository(
    store: Store, target: str, state: RepositoryState, executor: Executor, *, deep: bool = False
) -> Report:
    """Compares one repository with its entry in the mirror index. Raises `StoreError` where the store gives way."""
    return _Check(Repository(store, target), state, executor).report(deep=deep)


def check_lists(store: Store, index: MirrorIndex, targets: Iterable[str], executor: Executor) -> Iterator[Finding]:
    """Compares the published lists of `targets`, and those of the whole, with what `index` makes of them."""

    def check(item: tuple[str, bytes | None]) -> Finding | None:
        key, body = item
        stored = store.get(key)
        match parse_key(key):
            case None:
                target = None
            case known:
                target = known.repository
        if body is None:
            found = stored and "is there, although the repository has no tags"
        elif stored is None:
            found = "is missing"
        elif is_foreign(key, stored.body):
            found = None
        elif not in_step(key, stored.body, body):
            found = "does not say what the mirror index says"
        else:
            found = _headers_differ(stored, list_headers(key))
        return Finding(target, key, Problem.OUT_OF_STEP, found) if found else None

    for _, finding in each(executor, check, published_lists(index, targets).items()):
        if finding:
            yield finding


def unknown_tags(
    store: Store, index: MirrorIndex, wanted: Callable[[str], bool]
) -> tuple[list[Finding], frozenset[str]]:
    """From a listing of the whole bucket: tag objects in our repositories that the mirror index does not know, and the
    names of repositories that are not ours."""
    findings, foreign = [], set()
    for row in store.list("v2/"):
        match parse_key(row.key):
            case ManifestKey(target, str(tag)) if wanted(target):
                state = index.repositories.get(target)
                if state is None:
                    foreign.add(target)
                elif state.attachments and is_attachment_tag(tag):
                    continue
                elif tag not in state.tags and tag not in state.pending:
                    detail = "a tag that the mirror index does not know; `r2mirror adopt` takes it over, or remove it"
                    findings.append(Finding(target, row.key, Problem.UNKNOWN, detail))
            case _:
                pass
    return findings, frozenset(foreign)


Parsed: TypeAlias = Manifest | Index


@dataclass
class _Seen:
    """What has been read of a repository so far."""

    manifests: dict[Digest, Parsed] = field(default_factory=dict)
    blobs: dict[Digest, Descriptor] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    broken: set[Digest] = field(default_factory=set)
    bodies: dict[Digest, bytes] = field(default_factory=dict)


class _Check:
    """One repository: its roots are followed in waves, each of which is read side by side."""

    def __init__(self, repository: Repository, state: RepositoryState, executor: Executor) -> None:
        self._repository = repository
        self._target = repository.name
        self._state = state
        self._attachments = merged(state.attachments.values())
        self._tags = _expected_tags(state, self._attachments)
        self._there = repository.inventory()
        self._executor = executor
        self._seen = _Seen()
        self._wrong_tags: set[str] = set()
        self._lists: list[PublishedList] = []

    def report(self, *, deep: bool) -> Report:
        roots = _roots(self._state, self._tags, self._attachments)
        self._check_tags()
        self._follow(roots)
        self._check_blobs(deep=deep)
        self._check_referrers()
        seen = self._seen
        hurt = {root: wrong for root in roots if (wrong := frozenset(self._wrong_with(root)))}
        findings = tuple(sorted(seen.findings, key=lambda finding: finding.key))
        broken = frozenset(seen.broken)
        bodies = {digest: body for digest, body in seen.bodies.items() if digest in broken}
        images = {root.digest: downloads(root.digest, seen.manifests) for root in roots if root.tags}
        return Report(
            self._target, self._state, self._there, findings, broken, hurt, bodies, tuple(self._lists), images
        )

    def _check_tags(self) -> None:
        for tag, stored in each(self._executor, self._repository.manifest, self._tags):
            state = self._tags[tag]
            key = self._repository.manifest_key(tag)
            if tag in self._state.pending:
                detail = "an apply began this and has not recorded it; if none is at work, apply again"
                self._seen.findings.append(Finding(self._target, key, Problem.OUT_OF_STEP, detail))
                continue
            if stored is None:
                problem = (Problem.MISSING, f"expected the bytes of {state.digest}")
            elif not state.digest.matches(stored.body):
                found = Digest.of(stored.body, state.digest.algorithm)
                problem = (Problem.OUT_OF_STEP, f"points at {found}, the mirror index says {state.digest}")
            else:
                self._seen.bodies[state.digest] = stored.body
                differ = _headers_differ(stored, manifest_headers(state.media_type, tag))
                if not differ:
                    continue
                problem = (Problem.WRONG_HEADERS, differ)
            self._wrong_tags.add(tag)
            self._seen.findings.append(Finding(self._target, key, *problem))

    def _follow(self, roots: Iterable[Root]) -> None:
        wave = {(root.digest, root.descriptor.media_type if root.descriptor else ""): [root] for root in roots}
        while wave:
            following: dict[tuple[Digest, str], list[Root]] = {}
            for (digest, media_type), stored in each(self._executor, self._get_digest, wave):
                parsed = self._parsed(digest, media_type, stored)
                if isinstance(parsed, Index):
                    for root in wave[digest, media_type]:
                        for child in root.choose(parsed, self._there):
                            following.setdefault((child.digest, child.media_type), []).append(root)
                if parsed:
                    self._seen.blobs.update({blob.digest: blob for blob in parsed.blobs})
            read = self._seen.manifests.keys() | self._seen.broken
            wave = {key: by for key, by in following.items() if key[0] not in read}

    def _parsed(self, digest: Digest, media_type: str, stored: Stored | None) -> Parsed | None:
        """The manifest, noted as seen; None where it is not fit to be followed."""
        key = self._repository.manifest_key(digest)
        body = stored.body if stored and digest.matches(stored.body) else None
        if stored is None:
            self._note(digest, key, Problem.MISSING, "expected a manifest")
        elif body is None:
            self._note(digest, key, Problem.WRONG_BYTES, f"its bytes have the digest {Digest.of(stored.body)}")
        if body is None:
            body = self._seen.bodies.get(digest)
        if body is None:
            return None
        try:
            parsed = parse_manifest(body, media_type, key)
        except Malformed as error:
            self._note(digest, key, Problem.WRONG_BYTES, error.why)
            return None
        differ = stored and _headers_differ(stored, manifest_headers(media_type or parsed.media_type, digest))
        if differ and digest not in self._seen.broken:
            self._note(digest, key, Problem.WRONG_HEADERS, differ)
        self._seen.manifests[digest] = parsed
        return parsed

    def _check_blobs(self, *, deep: bool) -> None:
        whole = []
        for digest, blob in self._seen.blobs.items():
            size = self._there.blobs.get(digest)
            key = self._repository.blob_key(digest)
            if size is None:
                self._note(digest, key, Problem.MISSING, f"expected a blob of {blob.size} bytes")
            elif size != blob.size:
                self._note(digest, key, Problem.WRONG_SIZE, f"expected {blob.size} bytes, has {size}")
            else:
                whole.append(digest)
        if deep:
            for digest, found in each(self._executor, self._hash, whole):
                if found != digest:
                    detail = f"its bytes have the digest {found}" if found else "is gone since it was listed"
                    self._note(digest, self._repository.blob_key(digest), Problem.WRONG_BYTES, detail)

    def _check_referrers(self) -> None:
        for expected, stored in each(self._executor, self._repository.published, self._expected_lists()):
            if stored is None:
                found: str | None = "is missing"
            elif stored.body != expected.body:
                found = "does not list the referrers that the mirror index says"
            else:
                found = _headers_differ(stored, expected.headers)
            if found:
                self._lists.append(expected)
                self._seen.findings.append(Finding(self._target, expected.key, Problem.OUT_OF_STEP, found))

    def _expected_lists(self) -> Iterator[PublishedList]:
        """Yields the lists as they should be. Where a referrer cannot be read, that is the finding, not the list."""
        own_tags = self._state.own_tags
        for subject, one in self._attachments.items():
            parsed = {digest: self._seen.manifests.get(digest) for digest in one.referrers}
            entries = [(digest, self._there.manifests.get(digest, 0), it) for digest, it in parsed.items() if it]
            if len(entries) == len(parsed):
                yield from published_list(self._target, subject, entries, own_tags)

    def _wrong_with(self, root: Root) -> Iterator[str]:
        """The keys that are wrong of what the root reaches."""
        yield from (self._repository.manifest_key(tag) for tag in self._wrong_tags.intersection(root.tags))

        def below(one: tuple[Digest, Parsed | None]) -> tuple[Descriptor, ...]:
            return root.choose(one[1], self._there) if isinstance(one[1], Index) else ()

        start = root.descriptor or Descriptor("", root.digest, 0)
        for digest, parsed in walk([start], lambda one, _: (one.digest, self._seen.manifests.get(one.digest)), below):
            if digest in self._seen.broken:
                yield self._repository.manifest_key(digest)
            broken = [blob.digest for blob in parsed.blobs if blob.digest in self._seen.broken] if parsed else ()
            yield from (self._repository.blob_key(blob) for blob in broken)

    def _note(self, digest: Digest, key: str, problem: Problem, detail: str) -> None:
        self._seen.broken.add(digest)
        self._seen.findings.append(Finding(self._target, key, problem, detail))

    def _get_digest(self, one: tuple[Digest, str]) -> Stored | None:
        return self._repository.manifest(one[0])

    def _hash(self, digest: Digest) -> Digest | None:
        chunks = self._repository.blob(digest)
        if chunks is None:
            return None
        hashing = hashlib.new(digest.algorithm)
        for chunk in chunks:
            hashing.update(chunk)
        return Digest(digest.algorithm, hashing.hexdigest())


def _expected_tags(state: RepositoryState, attachments: Record) -> dict[str, Descriptor]:
    """The tags, and those that came along with images."""
    along = {tag: descriptor for one in attachments.values() for tag, descriptor in one.tags.items()}
    return along | {tag: entry.descriptor for tag, entry in state.tags.items()}


def _roots(state: RepositoryState, expected: Mapping[str, Descriptor], attachments: Record) -> tuple[Root, ...]:
    """The digests of the tags, then the others. Where tags of one digest differ in platforms, all count."""
    tags: dict[Digest, list[str]] = {}
    for tag, descriptor in expected.items():
        tags.setdefault(descriptor.digest, []).append(tag)
    tagged = tuple(
        Root(digest, expected[names[0]], _all_platforms(state, names), tuple(sorted(names)))
        for digest, names in tags.items()
    )
    others = state.retired.keys() | {digest for one in attachments.values() for digest in one.referrers}
    return tagged + tuple(Root(digest) for digest in sorted(others - tags.keys()))


def _all_platforms(state: RepositoryState, tags: Iterable[str]) -> tuple[Platform, ...] | None:
    filters = [state.tags[tag].platforms if tag in state.tags else None for tag in tags]
    if any(platforms is None for platforms in filters):
        return None
    return tuple(sorted({platform for platforms in filters for platform in platforms or ()}))


def _headers_differ(stored: Stored, expected: Headers) -> str | None:
    """In words, None if they are as expected or the store keeps none."""
    found = stored.headers
    if found is None or found == expected:
        return None
    if found.content_type != expected.content_type:
        return f"expected the Content-Type {expected.content_type}, has {found.content_type or 'none'}"
    if found.cache_control != expected.cache_control:
        return f"expected the Cache-Control {expected.cache_control}, has {found.cache_control or 'none'}"
    return (
        f"expected no Content-Language but a tag's digest where edge.digest_by_tag is on, has {found.content_language}"
    )
