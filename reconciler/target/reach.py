"""Finds which stored manifests and blobs the tags of a repository need, so that garbage collection can take the rest.

    roots    every tag object that is there, our own or not, and the digests that the mirror index says are to be
             kept: those of its tags, and the retired ones younger than `retain`
    reached  what the roots refer to, down through indexes to the last blob, as the stored manifests say
    follows  what is attached to what is reached: the lists of its referrers, and the tags that belong to it by name,
             e.g. `sha256-<hex>.sig`; those are no roots, unless the mirror index has them as tags of their own

Every error is on the side of keeping. If a manifest that is reached cannot be read, what it needs is not known. If the
listing lacks an object that exists, what else it lacks is not known either, and the layers of those manifests would be
taken for garbage. Both raise `StoreError`, and then nothing is collected in the repository.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING

from reconciler.errors import Malformed, StoreError
from reconciler.frozen import Frozen
from reconciler.oci.image import choose_platforms, walk_waves
from reconciler.oci.referrers import attachment_tags, is_attachment_tag
from reconciler.oci.spec import Digest, Index, Manifest, Platform, parse_manifest
from reconciler.target.layout import ManifestKey, ReferrersKey
from reconciler.work.threads import each

if TYPE_CHECKING:
    from reconciler.target.index import RepositoryState
    from reconciler.target.inventory import Inventory
    from reconciler.target.layout import Key
    from reconciler.target.protocol import Found
    from reconciler.target.repository import Repository


class Reach(Frozen):
    """What the roots of a repository reach.

    manifests  by digest
    blobs      their configurations and layers
    detached   lists of referrers and tags named after a subject, where the subject is not reached
    """

    manifests: Collection[Digest]
    blobs: Collection[Digest]
    detached: tuple[Key, ...]


class Reader:
    """Reads the stored manifests of one repository in parallel, and notes what the listing `there` lacks of them."""

    def __init__(self, repository: Repository, there: Inventory, executor: Executor) -> None:
        self._repository = repository
        self._target = repository.name
        self._there = there
        self._executor = executor
        self._seen: set[Key] = set()
        self._reached: set[Digest] = set()
        self._blobs: set[Digest] = set()
        self._indexes: dict[Digest, Index] = {}
        self._unlisted: set[Digest] = set()

    def reach(self, state: RepositoryState, keep: Iterable[Digest], subjects: Collection[Digest]) -> Reach:
        """Follows the tags and `keep`, and what is attached to what they reach.

        keep      digests to keep besides those of the tags
        subjects  the digests that have a list of referrers

        Raises `StoreError` if a manifest on the way is missing or damaged.
        """
        by_name = {tag for tag in self._there.tags if is_attachment_tag(tag)} - state.own_tags
        # Tag objects as they are there, not as the index says: clients pull a tag that another tool moved, too.
        self._follow(self._keys(self._there.tags.keys() - by_name))
        # A tag whose object is gone: its image has to be there, or else the listing or the bucket is damaged.
        lost = {one.digest for tag, one in state.tags.items() if tag not in self._there.tags}
        self._follow(self._keys(lost - self._reached))
        # A retired digest may be gone already, e.g. if an earlier collection was killed before it wrote the index.
        # `check_listing` finds out whether one is there and the listing merely lacks it.
        kept = _with_attachments(state, keep) - self._reached
        self._unlisted |= kept - self._there.manifests.keys()
        self._follow(self._keys(kept & self._there.manifests.keys()))
        return Reach(self._reached, self._blobs, self._follow_attached(by_name, set(subjects)))

    def _follow_attached(self, by_name: set[str], subjects: set[Digest]) -> tuple[Key, ...]:
        """Follows what is attached to what is reached, and returns what is attached to nothing that is."""
        # A list of referrers can reach manifests with referrers of their own, e.g. the signature of an image's SBOM.
        while True:
            names = {tag for subject in self._reached for tag in attachment_tags(subject)} & by_name
            wave = [*self._keys(names), *self._lists(subjects & self._reached)]
            if not wave:
                return (*self._lists(sorted(subjects)), *self._keys(sorted(by_name)))
            by_name -= names
            subjects -= self._reached
            self._follow(wave)

    def _keys(self, references: Iterable[Digest | str]) -> list[Key]:
        return [ManifestKey(self._target, one) for one in references]

    def _lists(self, subjects: Iterable[Digest]) -> list[Key]:
        return [ReferrersKey(self._target, one) for one in subjects]

    def _follow(self, roots: Iterable[Key]) -> None:
        read = partial(each, self._executor, self._read)
        for _, (digest, parsed) in walk_waves(roots, read, self._below, self._seen):
            self._reached.add(digest)
            # What a tag or an index led to is not read again under its own digest.
            self._seen.add(ManifestKey(self._target, digest))
            if isinstance(parsed, Index):
                self._indexes[digest] = parsed
            self._blobs.update(blob.digest for blob in parsed.blobs)

    def _below(self, node: tuple[Key, tuple[Digest, Manifest | Index]]) -> Iterable[Key]:
        _, (_, parsed) = node
        children = _children(parsed)
        self._unlisted |= children - self._there.manifests.keys()
        return self._keys(children & self._there.manifests.keys())

    def check_listing(self, state: RepositoryState) -> None:
        """Raises `StoreError` if the listing lacks a manifest of those that `reach` met, although it is there.

        The children that a tag needs for its platforms have to be listed. The others may never have been mirrored, so
        the store is asked for each of them.
        """
        unwanted: set[Digest] = set()
        for tag, one in state.tags.items():
            if tag not in state.pending:
                unwanted |= self._unwanted(f"{self._target}:{tag}", one.digest, one.platforms)
        asked = sorted(self._unlisted - unwanted)
        for digest, is_there in each(self._executor, self._repository.has_manifest, asked):
            if is_there:
                raise StoreError(self._what(digest), f"is there, but a listing lacks it; {_INCOMPLETE}")

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
        unwanted = _children(index) - chosen
        for child in chosen:
            if child not in self._there.manifests:
                why = f"a listing lacks it, and {what} needs it by the mirror index; {_INCOMPLETE}"
                raise StoreError(self._what(child), why)
            unwanted |= self._unwanted(what, child, platforms)
        return unwanted

    def children(self, digest: Digest) -> Collection[Digest]:
        """The manifests that a manifest refers to; none if it is missing or damaged."""
        try:
            _, parsed = self._read(ManifestKey(self._target, digest))
        except StoreError:
            return ()
        return _children(parsed)

    def _what(self, digest: Digest) -> str:
        return f"{self._repository.store.name}/{ManifestKey(self._target, digest)}"

    def _read(self, key: Key) -> tuple[Digest, Manifest | Index]:
        """Reads a manifest, a tag or a list of referrers; with the digest of its bytes."""
        what = f"{self._repository.store.name}/{key}"
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

    def _get(self, key: Key) -> Found | None:
        match key:
            case ManifestKey(_, reference):
                return self._repository.manifest(reference)
            case ReferrersKey(_, subject):
                return self._repository.referrers(subject)
            case _:
                return None


def _children(parsed: Manifest | Index) -> set[Digest]:
    return {child.digest for child in parsed.manifests} if isinstance(parsed, Index) else set()


def _with_attachments(state: RepositoryState, keep: Iterable[Digest]) -> set[Digest]:
    """The digests to keep, and those of what came along with their images."""
    found = set(keep)
    for record in [state.attachments[digest] for digest in found if digest in state.attachments]:
        for one in record.values():
            found |= one.referrers | {tagged.digest for tagged in one.tags.values()}
    return found


_INCOMPLETE = "nothing is collected in this repository; see `r2mirror verify`, and try again later"
_ADVICE = "nothing is collected in this repository; see `r2mirror verify`, and repair it or remove it by hand"
