"""Points tags back to digests that the bucket still has, without any source, and holds them there. Prints nothing.

    from reconciler.mirrors.load import load_mirrors
    from reconciler.target.kinds import open_target
    from reconciler.upkeep.caller import Caller
    from reconciler.upkeep.goals import OneRun
    from reconciler.upkeep.restore import restore_bucket

    mirrors = load_mirrors(Path("mirrors.yaml"), os.environ)
    target = open_target(mirrors.store, os.environ)
    restored = restore_bucket(mirrors, destination, Caller("my program"), OneRun(41))
    for step in restored.steps:
        print(step.target, step.tag, step.after)

The mirror index has the tags first, each with its hold, and as pending; then come the tags' objects, then the index has
them settled, then the published lists. A restore that is killed leaves pending tags with holds, which the next apply
points to the same digests, without any source; to restore again is safe at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from reconciler.apply.publish import publish_image
from reconciler.errors import BadAnswer, Drift, Malformed, NotFound, PlanRefused, SignatureRefused, UsageError
from reconciler.frozen import Frozen
from reconciler.target.catalog import published_lists
from reconciler.target.deletion import delete_all
from reconciler.target.index import Held, MirrorIndex, RepositoryState
from reconciler.target.index_changes import begun, published, removed, settled, with_holds, without_holds
from reconciler.target.layout import ManifestKey
from reconciler.target.ledger import read_index, write_index, writer
from reconciler.target.lists import publish_lists
from reconciler.target.own_digests import own_digests
from reconciler.target.protocol import DRIFT, HasOtherWriters
from reconciler.target.recorded import check_recorded
from reconciler.upkeep.goals import Goal, Refusal, goals
from reconciler.upkeep.history import Past
from reconciler.upkeep.stored_images import NotThere, StoredImages
from reconciler.upkeep.stored_signatures import verify_stored
from reconciler.work.threads import BLOB_WORKERS, threads

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.oci.spec import Digest
    from reconciler.signatures.signers import Knowledge
    from reconciler.target.ledger import StoredIndex
    from reconciler.target.lock import Lease
    from reconciler.target.protocol import Kept, Target
    from reconciler.upkeep.caller import Caller
    from reconciler.upkeep.goals import Request
    from reconciler.upkeep.stored_images import StoredImage


class Step(Frozen):
    """One tag that is restored.

    before     the digest that it has now; None: it has none
    image      what it is to point to; None: it is removed
    signature  what the bucket shows of the image's signatures, if it has to be signed
    """

    target: str
    tag: str
    source: str
    before: Digest | None
    image: StoredImage | None
    reason: str
    signature: Knowledge | None = None

    @property
    def after(self) -> Digest | None:
        return self.image.state.digest if self.image else None


class Restoration(Frozen):
    """What a restore does, or has done.

    refused  tags that it leaves alone
    kept     tags that were to be removed and are still there, because the target cannot delete them
    """

    steps: tuple[Step, ...]
    refused: tuple[Refusal, ...] = ()
    kept: tuple[Kept, ...] = ()


class Released(Frozen):
    """A tag that is no longer held, and the hold that it had."""

    target: str
    tag: str
    hold: Held


def plan_restore(mirrors: Mirrors, destination: Target, request: Request) -> Restoration:
    """Returns what a restore would do, without a lock. Changes nothing, and sends nothing to any source.

    Raises `UsageError` if it is not known what to restore or the bucket lacks it, `IndexInvalid` and `StoreError`.
    """
    return _restoration(mirrors, destination, read_index(destination.state), request)


def restore_bucket(
    mirrors: Mirrors, destination: Target, caller: Caller, request: Request, expected: Restoration | None = None
) -> Restoration:
    """Restores tags, under the lock.

    `expected` is the restoration that was agreed to, None for any. Raises `PlanRefused` if it would be another one by
    now, `LockHeld`, `LockLost`, and as `plan_restore` does.
    """
    with caller.locked(destination) as lease, caller.looking(), threads(BLOB_WORKERS) as executor:
        observed = read_index(destination.state)
        found = _restoration(mirrors, destination, observed, request)
        if expected and found != expected:
            raise PlanRefused(("the mirror has changed since this was shown; nothing was restored. Restore again",))
        if not found.steps:
            return found
        return replace(found, kept=_Restore(mirrors, destination, lease).run(found.steps, observed, executor))


def release_tags(
    mirrors: Mirrors, destination: Target, caller: Caller, names: Sequence[tuple[str, str]]
) -> tuple[Released, ...]:
    """Ends the holds of tags, so that the next apply treats them like all others.

    `names`: targets and tags. Raises `UsageError` if one is not held, `LockHeld`, `LockLost` and `StoreError`.
    """
    with caller.locked(destination) as lease:
        observed = read_index(destination.state)
        found = tuple(_hold_of(mirrors, observed.index, *name) for name in dict.fromkeys(names))

        def change(index: MirrorIndex) -> MirrorIndex:
            for one in found:
                index = without_holds(index, one.target, {one.tag: one.hold})
            return index

        write_index(destination.state.guarded(lease.confirm), observed, change, writer(lease.command, lock=lease.owner))
        return found


def _hold_of(mirrors: Mirrors, index: MirrorIndex, target: str, tag: str) -> Released:
    state = index.repositories.get(target)
    hold = state.held.get(tag) if state else None
    if state is None or hold is None:
        raise UsageError(f"{target}:{tag} is not held; `r2mirror plan` shows the tags that are")
    _check_owner(mirrors, target, state)
    return Released(target, tag, hold)


def _check_owner(mirrors: Mirrors, target: str, state: RepositoryState) -> None:
    if not mirrors.owns(target, state.owner):
        owner = f"the mirrors file with `name: {state.owner}`" if state.owner else "no mirrors file"
        raise UsageError(f"{target} belongs to {owner}, and this one has `name: {mirrors.name}`; use that file")


def _restoration(mirrors: Mirrors, destination: Target, observed: StoredIndex, request: Request) -> Restoration:
    check_recorded(destination, observed.index)
    images = StoredImages(destination, mirrors.retention(), observed.at)
    found = list(goals(request, observed.index, Past(destination.state)))
    steps: list[Step] = []
    refused = [one for one in found if isinstance(one, Refusal)]
    for goal in [one for one in found if isinstance(one, Goal)]:
        try:
            steps += _steps(mirrors, destination, observed.index, goal, images)
        except (NotThere, UsageError, SignatureRefused, BadAnswer, NotFound, Malformed) as error:
            # Of a run, what can be undone is. A single tag that cannot be restored is an error.
            if len(found) == 1:
                raise UsageError(f"{goal.target}:{goal.tag}: {error}") from None
            refused.append(Refusal(goal.target, goal.tag, str(error)))
    return Restoration(tuple(steps), tuple(refused))


def _steps(
    mirrors: Mirrors, destination: Target, index: MirrorIndex, goal: Goal, images: StoredImages
) -> Iterator[Step]:
    state = index.repositories.get(goal.target, RepositoryState(goal.source))
    _check_owner(mirrors, goal.target, state)
    now, hold = state.tags.get(goal.tag), state.holds(_entry(mirrors, goal.target)).get(goal.tag)
    before = now.digest if now else None
    is_there = before == goal.digest and (now and now.platforms) == (goal.recorded and goal.recorded.platforms)
    is_nothing = before is None and goal.digest is None
    if is_nothing or (is_there and hold and goal.tag not in state.pending):
        return
    if goal.digest is None:
        yield Step(goal.target, goal.tag, goal.source, before, None, goal.reason)
        return
    image = images.read(goal.target, state, goal.digest, goal.recorded)
    signature = verify_stored(mirrors, destination.repository(goal.target), state, goal.digest)
    yield Step(goal.target, goal.tag, goal.source, before, image, goal.reason, signature)


def _entry(mirrors: Mirrors, target: str) -> str | None:
    mirror = mirrors.mirror_of(target)
    return mirror.entry if mirror else None


class _Restore:
    """The writes of one restore, under the lock."""

    def __init__(self, mirrors: Mirrors, destination: Target, lease: Lease) -> None:
        self._mirrors = mirrors
        self._public = destination.guarded(lease.check)
        self._state = destination.state.guarded(lease.confirm)
        self._by = writer(lease.command, lock=lease.owner)
        self._lease = lease

    def run(self, steps: tuple[Step, ...], observed: StoredIndex, executor: Executor) -> tuple[Kept, ...]:
        """Returns the tags that the target cannot delete. Raises `LockLost` and `StoreError`."""
        before = observed.index
        self._public = self._public.owning(own_digests(lambda: before))
        _check_drift(self._public, steps)
        now = self._lease.now()
        back = [step for step in steps if step.image]
        away = [step for step in steps if not step.image]
        # If this run is killed from here on, its lock stays behind, and the next apply publishes all lists again.
        self._lease.unfinished = True
        observed = write_index(self._state, observed, lambda index: self._begun(index, steps, now), self._by)
        for step in back:
            self._publish(step)
        kept = self._remove(away, observed.index)
        observed = write_index(self._state, observed, lambda index: _settled(index, steps, kept), self._by)
        publish_lists(self._public, published_lists(observed.index, {step.target for step in steps}), executor)
        # What an earlier run left is still for an apply to clear up.
        self._lease.unfinished = self._lease.taken_over
        return kept

    def _publish(self, step: Step) -> None:
        if step.image:
            image = step.image.image
            there = {one.digest: len(one.body) for one in image.manifests}
            publish_image(self._public.repository(step.target), image, [step.tag], there)

    def _remove(self, steps: Iterable[Step], index: MirrorIndex) -> tuple[Kept, ...]:
        """Deletes the tags, and returns those that the target cannot delete."""
        # A tag that came along with an image, e.g. a signature, stays, although it is no tag of its own any more.
        along = {step.target: index.repositories[step.target].attachment_tags for step in steps}
        items = (ManifestKey(one.target, one.tag) for one in steps if one.tag not in along[one.target])
        return delete_all(self._public, items)

    def _begun(self, index: MirrorIndex, steps: Iterable[Step], now: datetime) -> MirrorIndex:
        by = f"{self._by.command} on {self._by.host}"
        for step in steps:
            target, entry = step.target, _entry(self._mirrors, step.target)
            if step.image:
                index = published(index, target, step.source, {step.tag: replace(step.image.state, synced_at=now)}, now)
                index = begun(index, target, step.source, [step.tag])
            else:
                index = removed(index, target, [step.tag], now)
            index = with_holds(index, target, {step.tag: Held(step.after, now, by, step.reason, entry)})
        return index


def _check_drift(target: Target, steps: Iterable[Step]) -> None:
    """Raises `Drift` before anything is changed, if another writer of the target has moved one of the tags."""
    if isinstance(target, HasOtherWriters):
        for step in steps:
            found = target.drifted(step.target, step.tag)
            if found:
                raise Drift(f"{step.target}:{step.tag}", DRIFT.format(found))


def _settled(index: MirrorIndex, steps: Iterable[Step], kept: Iterable[Kept]) -> MirrorIndex:
    there = {(one.item.repository, str(one.item.reference)) for one in kept}
    for step in steps:
        undeleted = [step.tag] if (step.target, step.tag) in there else []
        index = settled(index, step.target, [step.tag], undeleted)
    return index
