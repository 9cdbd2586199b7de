"""Finds and removes what nothing in a repository reaches any more, from a listing of the bucket.

Garbage is every manifest by digest and every blob of the repository that `reach` does not need, what is attached to
those alone, and unfinished uploads to it. Nothing is taken from memory: the listing and the stored manifests decide.

Only for the holder of the lock, because a blob that is being published is not reached yet. Removal goes from what
refers to what is referred to, so that every manifest that is still visible is complete at every moment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from reconciler.errors import StoreError
from reconciler.oci.spec import Digest
from reconciler.stores import discard, unfinished
from reconciler.target.compaction import Outdated, compact, outdated
from reconciler.target.deletion import delete_all
from reconciler.target.index_changes import collected, expired
from reconciler.target.layout import BlobKey, ManifestKey, parse_key
from reconciler.target.ledger import read_index, write_index, writer
from reconciler.target.protocol import KeepsObjects
from reconciler.target.reach import Reader
from reconciler.target.recorded import check_recorded
from reconciler.target.removable import Garbage, NotCollected
from reconciler.target.repository import Repository

if TYPE_CHECKING:
    from reconciler.stores import Unfinished
    from reconciler.target.index import MirrorIndex, RepositoryState
    from reconciler.target.lock import Lease
    from reconciler.target.protocol import Target


logger = logging.getLogger(__name__)


def collect(
    destination: Target,
    repositories: Iterable[tuple[str, RepositoryState]],
    retain: Callable[[str], timedelta],
    now: datetime,
    executor: Executor,
    *,
    dry_run: bool = False,
) -> Iterator[Garbage | NotCollected]:
    """Removes the garbage of each repository; yields each that had some, and each that could not be searched.

    The mirror index is to be written afterwards with `forgotten`: it still knows the expired digests of a collection
    that was killed, so that the next run looks for them again.
    """
    for target, state in repositories:
        try:
            garbage = find_garbage(destination, target, state, retain(target), now, executor)
            if not dry_run:
                remove(destination, garbage)
        except StoreError as error:
            yield NotCollected(target, str(error))
        else:
            if not garbage.is_empty:
                yield garbage


def discard_uploads(destination: Target, repositories: Collection[str]) -> Iterator[Garbage]:
    """Discards every unfinished upload to the repositories, when no upload is under way any more.

    Lists the uploads of the whole bucket once, and yields each repository that had some. Raises `StoreError`.
    """
    found: dict[str, list[Unfinished]] = {}
    for upload in unfinished(destination.public, "v2/") if isinstance(destination, KeepsObjects) else ():
        match parse_key(upload.key):
            case BlobKey(repository, _) if repository in repositories:
                found.setdefault(repository, []).append(upload)
            case _:
                pass
    for repository, uploads in found.items():
        garbage = Garbage(repository, (), {}, tuple(uploads), frozenset(), 0)
        remove(destination, garbage)
        yield garbage


def collect_garbage(
    destination: Target,
    wanted: Callable[[str, RepositoryState], bool],
    retain: Callable[[str], timedelta],
    executor: Executor,
    lease: Lease | None,
    history: timedelta | None = None,
) -> Iterator[Garbage | NotCollected | Outdated]:
    """Removes the garbage of every repository of the mirror index that is `wanted`, and records it there.

    history  how long earlier versions of the mirror index are kept; None: they stay

    Without a lease it only finds garbage. Raises `IndexInvalid`, `LockLost` and `StoreError`.
    """
    observed = read_index(destination.state)
    check_recorded(destination, observed.index)
    repositories = [one for one in observed.index.repositories.items() if wanted(*one)]
    removed = []
    now = lease.now() if lease else observed.at
    guarded = destination.guarded(lease.check) if lease else destination
    for event in collect(guarded, repositories, retain, now, executor, dry_run=lease is None):
        if isinstance(event, Garbage):
            removed.append(event)
        yield event
    if lease:
        # `check` before a removal costs no request. The index is what other runs build on, so `confirm` reads the lock.
        state = destination.state.guarded(lease.confirm)
        write_index(state, observed, lambda index: forgotten(index, removed), writer(lease.command, lock=lease.owner))
    if history is not None:
        left = outdated(destination.state, history, now)
        if lease:
            compact(destination.state.guarded(lease.confirm), left)
        yield left


def forgotten(index: MirrorIndex, garbage: Iterable[Garbage]) -> MirrorIndex:
    """`index` after the garbage is gone: without the retired digests that have expired."""
    for one in garbage:
        index = collected(index, one.target, one.expired)
    return index


def find_garbage(
    destination: Target, target: str, state: RepositoryState, retain: timedelta, now: datetime, executor: Executor
) -> Garbage:
    """Finds what can go from a repository, and changes nothing.

    Raises `StoreError`, also if a manifest that is reached is damaged or missing.
    """
    over = expired(state, retain, now)
    if not isinstance(destination, KeepsObjects):
        return _retained(destination, target, state, over)
    repository = Repository(destination.public, target)
    there = repository.inventory()
    reader = Reader(repository, there, executor)
    reach = reader.reach(state, state.digests - over, repository.subjects())
    reader.check_listing(state)
    loose = there.manifests.keys() - reach.manifests
    blobs = {digest: size for digest, size in there.blobs.items() if digest not in reach.blobs}
    return Garbage(
        target,
        parents_first({digest: reader.children(digest) for digest in sorted(loose)}),
        blobs,
        # Uploads of a run that is under way would be among them: that is why only the holder of the lock comes here.
        repository.uploads(),
        over,
        sum(there.manifests[digest] for digest in loose) + sum(blobs.values()),
        reach.detached,
    )


def _retained(destination: Target, target: str, state: RepositoryState, over: frozenset[Digest]) -> Garbage:
    """The tags that keep digests which need not be kept. All other garbage is for the target itself to collect."""
    tags = destination.repository(target).retained_without(state.retired.keys() - over)
    return Garbage(target, (), {}, (), over, 0, tuple(ManifestKey(target, tag) for tag in tags))


def remove(destination: Target, garbage: Garbage) -> None:
    """Removes garbage, step by step. Raises `StoreError`."""
    if isinstance(destination, KeepsObjects):
        for upload in garbage.uploads:
            discard(destination.public, upload)
    for step in garbage.steps():
        delete_all(destination, step)
        logger.info("removed %d objects that nothing reached from %s", len(step), garbage.target)


def parents_first(children: Mapping[Digest, Iterable[Digest]]) -> tuple[tuple[Digest, ...], ...]:
    """Puts digests in steps: none refers to one of the same step or of an earlier step. Pure."""
    # An index holds the hashes of its manifests, so a circle would be a broken hash. If there is one all the same, e.g.
    # in damaged objects, its members are one step, and the loop ends.
    steps = []
    rest = dict(children)
    while rest:
        referred = {child for digest, its in rest.items() for child in its if child in rest and child != digest}
        step = tuple(digest for digest in rest if digest not in referred) or tuple(rest)
        steps.append(step)
        for digest in step:
            del rest[digest]
    return tuple(steps)
