"""Removes the blobs and manifests that nothing references any more. Prints nothing.

    from reconciler.mirrors.load import load_mirrors
    from reconciler.target.kinds import open_target
    from reconciler.upkeep.caller import Caller
    from reconciler.upkeep.gc import remove_garbage

    mirrors = load_mirrors(Path("mirrors.yaml"), os.environ)
    target = open_target(mirrors.store, os.environ)
    for event in remove_garbage(mirrors, destination, Caller("my program")):
        print(event)

`reconciler.target.garbage` decides what is garbage in one repository.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from typing import TYPE_CHECKING

from reconciler.mirrors.only import check_only, matches_only
from reconciler.pulls.merging import merge, mergeable
from reconciler.target.garbage import collect_garbage
from reconciler.target.ledger import read_index
from reconciler.work.threads import BLOB_WORKERS, threads

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.pulls.merging import Merge
    from reconciler.target.compaction import Outdated
    from reconciler.target.index import RepositoryState
    from reconciler.target.lock import Lease
    from reconciler.target.protocol import Target
    from reconciler.target.removable import Garbage, NotCollected
    from reconciler.upkeep.caller import Caller


def remove_garbage(
    mirrors: Mirrors, destination: Target, caller: Caller, only: Sequence[str] = (), *, dry_run: bool = False
) -> tuple[Garbage | NotCollected | Outdated | Merge, ...]:
    """Removes the garbage of every repository in the mirror index that belongs to this mirrors file.

    Without `only`, also versions of the mirror index that are older than `history`, and what only they name. Counts of
    pulls are merged then, so that a day has one object.

    Args:
        only: globs of the targets to search; empty: all
        dry_run: return what would be removed; takes no lock and changes nothing

    Raises `UsageError` for a glob that matches nothing, `LockHeld`, `LockLost`, `IndexInvalid` and `StoreError`.
    """
    check_only(only, mirrors, lambda: read_index(destination.state).index.repositories)

    def wanted(target: str, state: RepositoryState) -> bool:
        return matches_only(target, only) and mirrors.owns(target, state.owner)

    # Without the lock nothing may be removed: a blob that another run is publishing is not reached by any tag yet.
    lock = nullcontext() if dry_run else caller.locked(destination)
    with threads(BLOB_WORKERS) as executor, lock as lease, caller.looking():
        history = None if only else mirrors.history
        garbage = tuple(collect_garbage(destination, wanted, mirrors.retention(), executor, lease, history))
        return garbage if only else (*garbage, *_merged(destination, executor, lease))


def _merged(destination: Target, executor: Executor, lease: Lease | None) -> Iterator[Merge]:
    """Merges counts of pulls; without a lease it only finds what would be merged."""
    now = lease.now() if lease else read_index(destination.state).at
    for one in mergeable(destination.state, now.date()):
        done = merge(destination.state.guarded(lease.confirm), one, executor) if lease else one
        if done.parts:
            yield done
