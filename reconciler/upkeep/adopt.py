"""Adopts what is in the bucket already: builds the mirror index from it, without copying a blob. Prints nothing.

    from reconciler.mirrors.load import load_mirrors
    from reconciler.target.kinds import open_target
    from reconciler.upkeep.adopt import adopt_bucket
    from reconciler.upkeep.caller import Caller

    mirrors = load_mirrors(Path("mirrors.yaml"), os.environ)
    target = open_target(mirrors.store, os.environ)
    adopted = adopt_bucket(mirrors, destination, Caller("my program"))
    for one in adopted.survey.adoptions:
        print(one.target, sorted(one.tags))

For a bucket that was filled by hand or by another tool, and for an index that was lost or damaged. A tag of a target
in mirrors.yaml is taken over if its image is complete for the platforms that are there. Manifests that lack their
digest's key or have wrong headers are written again from their own bytes. An incomplete image is left for an apply,
which copies only what is missing. Nothing is removed, and other repositories are not touched.

Where there is no index, digests without a tag are recorded as retired as of now: clients can pull them by digest until
`retain` is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reconciler.errors import NotFound, PlanRefused
from reconciler.frozen import Frozen
from reconciler.mirrors.only import check_only, matches_only
from reconciler.oci.spec import Descriptor
from reconciler.target.catalog import published_lists
from reconciler.target.index_changes import claimed, published, retire
from reconciler.target.layout import MIRROR_INDEX
from reconciler.target.ledger import write_index, writer
from reconciler.target.lists import publish_lists
from reconciler.target.recorded import registry_of
from reconciler.upkeep.repair import repair
from reconciler.upkeep.survey import survey
from reconciler.work.threads import BLOB_WORKERS, threads

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror, Mirrors
    from reconciler.target.index import MirrorIndex
    from reconciler.target.lock import Lease
    from reconciler.target.protocol import Target
    from reconciler.upkeep.caller import Caller
    from reconciler.upkeep.survey import Survey


class Adopted(Frozen):
    """What was taken over, and why some of it could not be repaired after all."""

    survey: Survey
    failures: tuple[str, ...]


def survey_bucket(mirrors: Mirrors, destination: Target, caller: Caller, only: Sequence[str] = ()) -> Survey:
    """Returns what could be taken over, without a lock. Changes nothing.

    `only`: globs of the targets to adopt; empty: all. Raises `UsageError` for one that matches nothing, `IndexVersion`
    and `StoreError`.
    """
    wanted = _wanted(mirrors, only)
    with threads(BLOB_WORKERS) as executor, caller.looking():
        return survey(destination, wanted, _now(), executor, mirrors.name)


def adopt_bucket(
    mirrors: Mirrors, destination: Target, caller: Caller, only: Sequence[str] = (), expected: Survey | None = None
) -> Adopted:
    """Takes over what is there, under the lock.

    `expected` is the survey that was agreed to, None for any. Raises `PlanRefused` if the store has changed since,
    `LockHeld`, `LockLost`, and as `survey_bucket` does.
    """
    wanted = _wanted(mirrors, only)
    now = expected.at if expected else _now()
    with threads(BLOB_WORKERS) as executor, caller.locked(destination) as lease:
        # Surveyed again: what was found before the lock was held may have been changed by another run.
        found = survey(destination, wanted, now, executor, mirrors.name)
        if expected and found != expected:
            raise PlanRefused(("the store has changed since it was surveyed; nothing was done. Adopt again",))
        return Adopted(found, adopt(destination, found, executor, lease))


def _wanted(mirrors: Mirrors, only: Sequence[str]) -> dict[str, Mirror]:
    check_only(only, mirrors, tuple)
    return {mirror.target: mirror for mirror in mirrors.mirrors if matches_only(mirror.target, only)}


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def adopt(destination: Target, found: Survey, executor: Executor, lease: Lease) -> tuple[str, ...]:
    """Takes over what a survey found; returns why some of it could not be repaired after all.

    Raises `LockLost` and `StoreError`.
    """
    public, state = destination.guarded(lease.check), destination.state.guarded(lease.confirm)
    failures = []
    # Before the index: once it has a tag, clients and later runs rely on the tag's objects.
    for one in found.adoptions:
        failures += [f"{failed.name}: {failed.error}" for failed in repair(public, one.report, _Nowhere(), executor)]

    now = lease.now()

    def change(index: MirrorIndex) -> MirrorIndex:
        for one in found.adoptions:
            if one.tags:
                tags = {tag: replace(state, synced_at=now) for tag, state in one.tags.items()}
                index = published(index, one.target, one.source, tags, now)
            index = retire(index, one.target, one.source, one.retired, now)
        for target in {*found.claimed, *(one.target for one in found.adoptions)} & index.repositories.keys():
            index = claimed(index, target, index.repositories[target].source, found.name)
        return index

    written = write_index(
        state, found.observed, change, writer(lease.command, lock=lease.owner), registry_of(destination)
    )
    if found.damaged and written is found.observed:
        # Nothing to take over, so no index was written over the damaged one. Without it, the next apply starts anew.
        state.delete([MIRROR_INDEX])
    lists = published_lists(written.index, written.index.repositories)
    publish_lists(public, lists, executor)
    return tuple(failures)


class _Nowhere:
    """A source that has nothing: an adoption repairs from bytes of the bucket alone."""

    def resolve(self, reference: str) -> Descriptor:
        raise NotFound(reference, "is no longer in the store")

    def manifest(self, descriptor: Descriptor) -> bytes:
        raise NotFound(str(descriptor.digest), "is no longer in the store")

    def blob(self, descriptor: Descriptor) -> Iterator[bytes]:
        raise NotFound(str(descriptor.digest), "is no longer in the store")
