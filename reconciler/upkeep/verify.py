"""Verifies that the bucket holds what the mirror index says, and repairs it if asked to. Prints nothing.

    from reconciler.mirrors.load import load_mirrors
    from reconciler.plan.connections import connect
    from reconciler.upkeep.caller import Caller
    from reconciler.upkeep.verify import verify_bucket

    mirrors = load_mirrors(Path("mirrors.yaml"), os.environ)
    with connect(mirrors, os.environ) as connections:
        found = verify_bucket(mirrors, connections, Caller("my program"))
    for defect in found.open:
        print(defect.key, defect.kind, defect.detail)

`check` compares one repository, `lists` the published lists, and `repair` writes again what is broken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.mirrors.only import check_only, matches_only
from reconciler.oci.referrers import is_attachment_tag
from reconciler.target.catalog import published_lists
from reconciler.target.index_changes import without_expired
from reconciler.target.inventory import INDEX_GONE
from reconciler.target.layout import MIRROR_INDEX
from reconciler.target.ledger import read_index
from reconciler.target.lists import publish_lists
from reconciler.target.lock import read_lock
from reconciler.target.own_digests import own_digests
from reconciler.target.protocol import HasOtherWriters, PackedInOneFile
from reconciler.target.recorded import check_recorded
from reconciler.upkeep.chain import check_chain, mend_chain
from reconciler.upkeep.check import check_repository
from reconciler.upkeep.defects import Defect, DefectKind
from reconciler.upkeep.lists import check_lists
from reconciler.upkeep.repair import repair
from reconciler.work.threads import BLOB_WORKERS, threads

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.plan.connections import Connections
    from reconciler.sources import OpenSource
    from reconciler.stores import Store
    from reconciler.target.index import MirrorIndex
    from reconciler.target.lock import Holder, Lease
    from reconciler.target.protocol import Target
    from reconciler.upkeep.caller import Caller
    from reconciler.upkeep.repair import Unrepaired


class Verification(Frozen):
    """What a verification found, and what of it was repaired.

    repositories  how many were checked
    tags          how many were checked
    foreign       repositories of the bucket that are not in the mirror index
    unrepaired    images that could not be repaired
    """

    repositories: int
    tags: int
    foreign: frozenset[str]
    defects: tuple[Defect, ...]
    repaired: frozenset[Defect] = frozenset()
    unrepaired: tuple[Unrepaired, ...] = ()

    @property
    def open(self) -> tuple[Defect, ...]:
        """The defects that are still there."""
        return tuple(defect for defect in self.defects if defect not in self.repaired)


def run_at_work(state: Store) -> Holder | None:
    """Reads which run holds the lock, None if none is alive. What it is changing may show up as a defect."""
    holder = read_lock(state)
    return holder if holder and not (holder.has_run_out or holder.has_ended) else None


def verify_bucket(
    mirrors: Mirrors,
    connections: Connections,
    caller: Caller,
    only: Sequence[str] = (),
    *,
    deep: bool = False,
    repairs: bool = False,
    overwrites_drift: bool = False,
) -> Verification:
    """Compares the bucket with the mirror index.

    Without `only`, also the chain of the earlier versions of the mirror index, and the file of a target that has one.

    Args:
        only: globs of the targets to verify; empty: all
        deep: also read every blob and verify its digest
        repairs: write broken objects again, under the lock, from their source if necessary
        overwrites_drift: also move back tags that another writer of the target has moved

    Raises `UsageError` for a glob that matches nothing, `LockHeld`, `LockLost`, `IndexInvalid` and `StoreError`.
    """
    destination = connections.target
    check_only(only, mirrors, lambda: read_index(destination.state).index.repositories)
    lock = caller.locked(destination) if repairs else nullcontext()
    with lock as lease, caller.looking(), threads(BLOB_WORKERS) as executor:
        observed = read_index(destination.state)
        check_recorded(destination, observed.index)
        written = destination.guarded(lease.check) if lease else destination
        # A digest whose time is over may be collected at any moment: its absence is no defect.
        found = verify(
            written if overwrites_drift else written.owning(own_digests(lambda: observed.index)),
            without_expired(observed.index, mirrors.retention(), observed.at),
            lambda target: matches_only(target, only),
            executor,
            deep=deep,
            open_source=connections.open_source if repairs else None,
        )
        if not only:
            found = _with_chain(
                found, destination.state.guarded(lease.confirm) if lease else destination.state, mends=bool(lease)
            )
            if isinstance(destination, PackedInOneFile):
                found = _with_file(found, destination, lease, deep=deep)
    if observed.etag is None:
        return _without_index(found, destination.holds_any([mirror.target for mirror in mirrors.mirrors]))
    return found


def _with_chain(found: Verification, state: Store, *, mends: bool) -> Verification:
    """Adds what is wrong with the chain of the mirror index."""
    defects = check_chain(state)
    mended = mend_chain(state, defects) if mends else frozenset()
    return replace(found, defects=(*found.defects, *defects), repaired=found.repaired | mended)


def _with_file(found: Verification, target: PackedInOneFile, lease: Lease | None, *, deep: bool) -> Verification:
    """Adds what is wrong with the file that clients read."""
    if not target.is_packed():
        defect = Defect(
            None, target.file, DefectKind.OUT_OF_STEP, "was changed, or not packed since the last change; apply again"
        )
    elif deep and (damage := target.damage()):
        defect = Defect(None, target.file, DefectKind.WRONG_BYTES, damage)
    else:
        return found
    if lease:
        target.forget()
        target.pack(lease.confirm)
    mended = {defect} if lease else set()
    return replace(found, defects=(*found.defects, defect), repaired=found.repaired | mended)


@dataclass
class _Found:
    defects: list[Defect] = field(default_factory=list)
    repaired: set[Defect] = field(default_factory=set)
    unrepaired: list[Unrepaired] = field(default_factory=list)


def verify(
    destination: Target,
    index: MirrorIndex,
    wanted: Callable[[str], bool],
    executor: Executor,
    *,
    deep: bool = False,
    open_source: OpenSource | None = None,
) -> Verification:
    """Compares the bucket with the mirror index, one repository after the other; repairs it if `open_source` is given.

    Raises `StoreError` if the store itself fails.
    """
    found = _Found()
    states = {target: state for target, state in index.repositories.items() if wanted(target)}
    for target, state in states.items():
        report = check_repository(destination, target, state, executor, deep=deep)
        found.defects += report.defects
        if (report.hurt or report.lists) and open_source:
            found.unrepaired += repair(destination, report, open_source(state.source), executor)
            # Checked again: only what is gone counts as repaired. And a list of referrers can be made only when its
            # referrers are intact, which some may be since the repair.
            after = check_repository(destination, target, state, executor, deep=deep)
            if after.lists:
                for one in after.lists:
                    destination.repository(target).publish_referrers(one)
                after = check_repository(destination, target, state, executor, deep=deep)
            found.repaired.update(set(report.defects) - set(after.defects))
    # Serial 0 is no index at all: then an apply never published any lists here.
    lists = list(check_lists(destination, index, states, executor)) if index.serial else []
    found.defects += lists
    if lists and open_source:
        publish_lists(destination, published_lists(index, states), executor)
        found.repaired.update(set(lists) - set(check_lists(destination, index, states, executor)))
    unknown, foreign = _unknown_tags(destination, index, wanted)
    tags = sum(len(state.tags) for state in states.values())
    defects = (*found.defects, *unknown)
    return Verification(len(states), tags, foreign, defects, frozenset(found.repaired), tuple(found.unrepaired))


UNKNOWN = "a tag that the mirror index does not know; `r2mirror adopt` takes it over, or remove it"

FOREIGN = (
    "a tag that another program put there; `r2mirror adopt` takes it over if mirrors.yaml may choose it; otherwise "
    "give the mirror a repository or a `prefix` of its own"
)
"""Where others write as well, `adopt` leaves what no entry may choose to them."""


def _without_index(found: Verification, lost: str | None) -> Verification:
    """Adds that the mirror index is lost, if the target has the repository `lost`, which it should list."""
    if lost is None:
        return found
    gone = Defect(None, MIRROR_INDEX, DefectKind.MISSING, INDEX_GONE.format(lost))
    return replace(found, defects=(gone, *found.defects))


def _unknown_tags(
    destination: Target, index: MirrorIndex, wanted: Callable[[str], bool]
) -> tuple[list[Defect], frozenset[str]]:
    """Lists the bucket for tag objects in our repositories that the mirror index does not have.

    Also returns the names of repositories that are not ours.
    """
    defects, foreign = [], set()
    for target, tag in destination.tags(name for name in index.repositories if wanted(name)):
        if not wanted(target):
            continue
        state = index.repositories.get(target)
        if state is None:
            foreign.add(target)
        elif state.attachments and is_attachment_tag(tag):
            continue
        elif tag not in state.tags and tag not in state.pending and tag not in state.undeleted:
            detail = FOREIGN if isinstance(destination, HasOtherWriters) else UNKNOWN
            key = destination.repository(target).manifest_key(tag)
            defects.append(Defect(target, key, DefectKind.UNKNOWN, detail))
    return defects, frozenset(foreign)
