"""Finds and removes what nothing in a repository reaches any more, from a listing of the bucket.

    roots    every tag object that is there, our own or not, and the digests that the mirror index says are to be
             kept: those of its tags, and the retired ones younger than `retain`
    reached  what the roots refer to, down through indexes to the last blob, as the stored manifests say
    follows  what is attached to what is reached: the lists of its referrers, and the tags that belong to it by name,
             as `sha256-<hex>.sig`; those are no roots, unless the mirror index has them as tags of their own
    garbage  every other manifest by digest and blob of the repository, and unfinished uploads to it

Nothing is taken from memory. Where a manifest that is reached cannot be read, nothing is collected at all: what it
needs is not known. Nor is anything where the listing lacks what has to be there, by the mirror index or by
a request for that very object: what else it lacks cannot be known, and its layers would be taken for garbage.

Only for the holder of the lock, for a blob that is being published is not reached yet. Removal goes from what refers to
what is referred to, so that what is visible is whole at every moment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from reconciler.errors import Malformed, StoreError
from reconciler.oci.image import choose_platforms
from reconciler.oci.referrers import attachment_tags, is_attachment_tag
from reconciler.oci.spec import Digest, Index, Manifest, Platform, parse_manifest
from reconciler.stores import discard, unfinished
from reconciler.target.index import RepositoryState, collected, expired
from reconciler.target.layout import BlobKey, ManifestKey, ReferrersKey, parse_key
from reconciler.target.ledger import read_index, write_index
from reconciler.target.repository import Repository, delete
from reconciler.work.threads import each

if TYPE_CHECKING:
    from reconciler.stores import Store, Stored, Stores, Unfinished
    from reconciler.target.index import MirrorIndex
    from reconciler.target.inventory import Inventory
    from reconciler.target.layout import Key
    from reconciler.target.lock import Lease


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Garbage:
    """What can go from a repository, or has gone.

    following  lists and tags whose subject is not reached
    manifests  by digest, in steps: what refers to others goes before them
    blobs      with their sizes in bytes
    uploads    that were begun and never finished
    expired    retired digests whose time is over; reached or not, the mirror index need not know them any more
    size       bytes of blobs and manifests
    """

    target: str
    manifests: tuple[tuple[Digest, ...], ...]
    blobs: Mapping[Digest, int]
    uploads: tuple[Unfinished, ...]
    expired: frozenset[Digest]
    size: int
    following: tuple[Key, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.objects or self.uploads or self.expired)

    @property
    def objects(self) -> int:
        return len(self.following) + sum(len(step) for step in self.manifests) + len(self.blobs)

    def steps(self) -> Iterator[Sequence[Key]]:
        """What goes, in the order in which it goes. What is attached may go after its subject, as OCI allows."""
        yield self.following
        for digests in self.manifests:
            yield [ManifestKey(self.target, digest) for digest in digests]
        yield [BlobKey(self.target, digest) for digest in self.blobs]


@dataclass(frozen=True)
class NotCollected:
    """A repository where garbage was looked for, and why none was removed."""

    target: str
    error: str


def collect(
    store: Store,
    repositories: Iterable[tuple[str, RepositoryState]],
    retain: Callable[[str], timedelta],
    now: datetime,
    executor: Executor,
    *,
    dry_run: bool = False,
) -> Iterator[Garbage | NotCollected]:
    """Removes the garbage of each repository; yields each that had some, and each that could not be searched.

    The mirror index is to be written afterwards with `forgotten`: after a crash, the next run starts again.
    """
    for target, state in repositories:
        try:
            garbage = find_garbage(store, target, state, retain(target), now, executor)
            if not dry_run:
                remove(store, garbage)
        except StoreError as error:
            yield NotCollected(target, str(error))
        else:
            if not garbage.is_empty:
                yield garbage


def discard_uploads(store: Store, repositories: Collection[str]) -> Iterator[Garbage]:
    """Discards every unfinished upload to the repositories: for when no upload is under way any more.

    One listing for all of them; yields each that had some. Raises `StoreError`.
    """
    found: dict[str, list[Unfinished]] = {}
    for upload in unfinished(store, "v2/"):
        match parse_key(upload.key):
            case BlobKey(repository, _) if repository in repositories:
                found.setdefault(repository, []).append(upload)
            case _:
                pass
    for repository, uploads in found.items():
        garbage = Garbage(repository, (), {}, tuple(uploads), frozenset(), 0)
        remove(store, garbage)
        yield garbage


def collect_garbage(
    stores: Stores,
    wanted: Callable[[str, RepositoryState], bool],
    retain: Callable[[str], timedelta],
    executor: Executor,
    lease: Lease | None,
) -> Iterator[Garbage | NotCollected]:
    """As `collect`, for every repository of the mirror index that is `wanted`, and records it. No lease: looks only.

    Raises `IndexInvalid`, `LockLost` and `StoreError`.
    """
    observed = read_index(stores.state)
    repositories = [one for one in observed.index.repositories.items() if wanted(*one)]
    removed = []
    now = lease.now() if lease else observed.at
    store = stores.public.guarded(lease.check) if lease else stores.public
    for event in collect(store, repositories, retain, now, executor, dry_run=lease is None):
        if isinstance(event, Garbage):
            removed.append(event)
        yield event
    if lease:
        state = stores.state.guarded(lease.confirm)
        write_index(state, observed, lambda index: forgotten(index, removed))


def forgotten(index: MirrorIndex, garbage: Iterable[Garbage]) -> MirrorIndex:
    """`index` after the garbage is gone: it knows nothing of the digests any more whose time is over."""
    for one in garbage:
        index = collected(index, one.target, one.expired)
    return index


def find_garbage(
    store: Store, target: str, state: RepositoryState, retain: timedelta, now: datetime, executor: Executor
) -> Garbage:
    """Raises `StoreError`, also where a manifest that is reached is damaged or missing; changes nothing."""
    over = expired(state, retain, now)
    repository = Repository(store, target)
    there = repository.inventory()
    manifests = _Manifests(repository, there, executor)
    reached, needed, following = manifests.reach(state, state.digests - over, repository.subjects())
    manifests.check_listing(state)
    loose = there.manifests.keys() - reached
    return Garbage(
        target,
        parents_first({digest: manifests.children(digest) for digest in sorted(loose)}),
        {digest: size for digest, size in there.blobs.items() if digest not in needed},
        repository.uploads(),
        over,
        sum(there.manifests[digest] for digest in loose)
        + sum(size for digest, size in there.blobs.items() if digest not in needed),
        following,
    )


def remove(store: Store, garbage: Garbage) -> None:
    """Removes it all, step by step. Raises `StoreError`."""
    for upload in garbage.uploads:
        discard(store, upload)
    for step in garbage.steps():
        delete(store, step)
        logger.info("removed %d objects that nothing reached from %s", len(step), garbage.target)


def parents_first(children: Mapping[Digest, Iterable[Digest]]) -> tuple[tuple[Digest, ...], ...]:
    """The digests in steps: none refers to one of the same step or of a step before. Pure.

    Digests are hashes of what refers, so there is no circle.
    """
    steps = []
    rest = dict(children)
    while rest:
        referred = {child for digest, its in rest.items() for child in its if child in rest and child != digest}
        step = tuple(digest for digest in rest if digest not in referred) or tuple(rest)
        steps.append(step)
        for digest in step:
            del rest[digest]
    return tuple(steps)


class _Manifests:
    """The stored manifests of one repository, read and parsed as they are met."""

    def __init__(self, repository: Repository, there: Inventory, executor: Executor) -> None:
        self._repository = repository
        self._target = repository.name
        self._there = there
        self._executor = executor
        self._indexes: dict[Digest, Index] = {}
        self._unlisted: set[Digest] = set()

    def reach(
        self, state: RepositoryState, keep: Iterable[Digest], subjects: Collection[Digest]
    ) -> tuple[set[Digest], set[Digest], tuple[Key, ...]]:
        """Returns the manifests and the blobs that the tags and `keep` reach, and what follows none of those.

        subjects  the digests that have a list of referrers
        """
        reached: set[Digest] = set()
        needed: set[Digest] = set()
        by_name = {tag for tag in self._there.tags if is_attachment_tag(tag)} - state.own_tags
        # Tag objects as they are there, not as the index says: one that another tool moved is pulled all the same.
        self._follow(self._keys(self._there.tags.keys() - by_name), reached, needed)
        # A tag whose object is gone: its image has to be there, else the listing or the bucket is damaged.
        lost = {one.digest for tag, one in state.tags.items() if tag not in self._there.tags}
        self._follow(self._keys(lost - reached), reached, needed)
        # A retired digest may be gone already, e.g. where an earlier collection was cut off before it was recorded.
        # One that the listing merely lacks is noticed by `check_listing`.
        kept = _with_attachments(state, keep) - reached
        self._unlisted |= kept - self._there.manifests.keys()
        self._follow(self._keys(kept & self._there.manifests.keys()), reached, needed)
        loose = set(subjects)
        # What is attached to something reached may bring manifests that have something attached themselves: a
        # signature of an SBOM of an image. So until a wave adds nothing.
        while True:
            names = {tag for subject in reached for tag in attachment_tags(subject)} & by_name
            wave = [*self._keys(names), *self._lists(loose & reached)]
            if not wave:
                return reached, needed, (*self._lists(sorted(loose)), *self._keys(sorted(by_name)))
            by_name -= names
            loose -= reached
            self._follow(wave, reached, needed)

    def _keys(self, references: Iterable[Digest | str]) -> list[Key]:
        return [ManifestKey(self._target, one) for one in references]

    def _lists(self, subjects: Iterable[Digest]) -> list[Key]:
        return [ReferrersKey(self._target, one) for one in subjects]

    def _follow(self, roots: Iterable[Key], reached: set[Digest], needed: set[Digest]) -> None:
        wave = roots
        while wave:
            children: set[Digest] = set()
            for digest, parsed in self._read_all(wave):
                reached.add(digest)
                if isinstance(parsed, Index):
                    self._indexes[digest] = parsed
                    children.update(child.digest for child in parsed.manifests)
                needed.update(blob.digest for blob in parsed.blobs)
            self._unlisted |= children - self._there.manifests.keys()
            wave = self._keys(child for child in children if child not in reached and child in self._there.manifests)

    def check_listing(self, state: RepositoryState) -> None:
        """Raises `StoreError` if the listing lacks a manifest of those that `reach` met, although it is there.

        What a tag needs has to be listed, by its platforms. Of the rest, which may never have been mirrored, the store
        is asked.
        """
        unwanted: set[Digest] = set()
        for tag, one in state.tags.items():
            if tag not in state.pending:
                unwanted |= self._unwanted(f"{self._target}:{tag}", one.digest, one.platforms)
        asked = sorted(self._unlisted - unwanted)
        for digest, is_there in each(self._executor, self._repository.has_manifest, asked):
            if is_there:
                key = ManifestKey(self._target, digest)
                raise StoreError(self._what(key), f"is there, but a listing lacks it; {_INCOMPLETE}")

    def _unwanted(self, what: str, digest: Digest, platforms: tuple[Platform, ...] | None) -> set[Digest]:
        """The children of an image, all the way down, that were left out for their platforms.

        Raises `StoreError` where the listing lacks one of the others. `what` names the tag.
        """
        index = self._indexes.get(digest)
        if index is None:
            return set()
        try:
            chosen = {child.digest for child in choose_platforms(index, platforms, what)}
        except Malformed:
            return set()
        unwanted = {child.digest for child in index.manifests} - chosen
        for child in chosen:
            if child not in self._there.manifests:
                why = f"a listing lacks it, and {what} needs it by the mirror index; {_INCOMPLETE}"
                raise StoreError(self._what(ManifestKey(self._target, child)), why)
            unwanted |= self._unwanted(what, child, platforms)
        return unwanted

    def children(self, digest: Digest) -> tuple[Digest, ...]:
        """What a manifest that may be damaged says that it refers to."""
        try:
            _, parsed = self._read(ManifestKey(self._target, digest))
        except StoreError:
            return ()
        return tuple(child.digest for child in parsed.manifests) if isinstance(parsed, Index) else ()

    def _read_all(self, keys: Iterable[Key]) -> Iterator[tuple[Digest, Manifest | Index]]:
        for _, read in each(self._executor, self._read, keys):
            yield read

    def _what(self, key: Key) -> str:
        return f"{self._repository.store.name}/{key}"

    def _read(self, key: Key) -> tuple[Digest, Manifest | Index]:
        """Reads a manifest, a tag or a list of referrers; with the digest of its bytes."""
        what = self._what(key)
        stored = self._get(key)
        if stored is None:
            raise StoreError(what, f"is missing; {_ADVICE}")
        match key:
            case ManifestKey(_, Digest() as digest):
                if not digest.matches(stored.body):
                    raise StoreError(what, f"has other bytes than its digest says; {_ADVICE}")
            case _:
                digest = Digest.of(stored.body)
        try:
            return digest, parse_manifest(stored.body, "", what)
        except Malformed as error:
            raise StoreError(what, f"cannot be read ({error.why}); {_ADVICE}") from None

    def _get(self, key: Key) -> Stored | None:
        match key:
            case ManifestKey(_, reference):
                return self._repository.manifest(reference)
            case ReferrersKey(_, subject):
                return self._repository.referrers(subject)
            case _:
                return None


def _with_attachments(state: RepositoryState, keep: Iterable[Digest]) -> set[Digest]:
    """The digests to keep, and those of what came along with their images."""
    found = set(keep)
    for record in [state.attachments[digest] for digest in found if digest in state.attachments]:
        for one in record.values():
            found |= one.referrers | {tagged.digest for tagged in one.tags.values()}
    return found


_INCOMPLETE = "nothing is collected in this repository; see `r2mirror verify`, and try again later"
_ADVICE = "nothing is collected in this repository; see `r2mirror verify`, and repair it or remove it by hand"
