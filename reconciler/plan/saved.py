"""Checks a saved plan: an apply does only what mirrors.yaml and the mirror index allow. Pure.

The file may have been edited since the plan was made. Its counts are computed again, since the guards against many
prunes rely on them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from reconciler.errors import PlanRefused
from reconciler.mirrors.patterns import Locked, Pinned
from reconciler.plan.ages import MOVED, may_testify, wait
from reconciler.plan.diff import Action, Change
from reconciler.plan.owners import is_another_s
from reconciler.plan.plan import extent_of
from reconciler.target.index import RepositoryState

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror, Mirrors
    from reconciler.plan.plan import Plan, RepositoryPlan
    from reconciler.target.index import MirrorIndex

SHOWN = 10
"""How many reasons are shown."""


def checked(plan: Plan, mirrors: Mirrors, index: MirrorIndex, where: str, now: datetime) -> Plan:
    """Returns the plan with its counts from `index`, the one that it was made from; `now` is the store's time.

    Raises `PlanRefused` if the plan could not have been made for `mirrors`.
    """
    reasons = [*_twice(one.target for one in plan.repositories)]
    for repository in plan.repositories:
        mirror = mirrors.mirror_of(repository.target, repository.source)
        problems = [*_problems(repository, mirror, mirrors, index)]
        problems += [*_too_young(repository, mirror, index, now), *_moved(repository, mirror)] if mirror else []
        reasons += [f"{repository.target}: {problem}" for problem in problems]
    if reasons:
        head = f"{where}: is not a plan for this mirrors file; nothing was done. Plan again"
        raise PlanRefused((head, *reasons[:SHOWN]))
    # An edit of `unchanged` or of the extent would make a large prune look small to the guards.
    repositories = tuple(_counted(one, index) for one in plan.repositories)
    extent = extent_of(index, mirrors.name, {one.target for one in repositories})
    return replace(plan, repositories=repositories, extent=extent)


def _problems(repository: RepositoryPlan, mirror: Mirror | None, mirrors: Mirrors, index: MirrorIndex) -> Iterator[str]:
    state = index.repositories.get(repository.target)
    yield from _twice(change.tag for change in repository.changes)
    if (repository.changes or repository.gone or repository.left_out or repository.ages.sightings) and is_another_s(
        state, mirrors.name
    ):
        yield "it belongs to another mirrors file"
    observed = state or RepositoryState(repository.source)
    yield from (problem for one in repository.changes if (problem := _out_of_step(one, observed)))
    held = observed.holds(mirror.entry if mirror else None)
    yield from (
        f"{one.tag}: it is held by a restore; `r2mirror release {repository.target}:{one.tag}` ends that"
        for one in repository.changes
        if one.tag in held and not _settles(one, observed)
        if one.before or one.action is not Action.PRUNE
    )
    if mirror:
        yield from _unlike(repository, mirror)
    elif state is None or not mirrors.owns(repository.target, state.owner):
        yield "mirrors.yaml does not have it, nor has the mirror index for this file"
    elif repository.source != state.source:
        yield f"expected the source {state.source}, the plan has {repository.source}"
    else:
        yield from (
            f"{one.tag}: mirrors.yaml does not have this repository, which can only lose tags"
            for one in repository.of(Action.ADD, Action.UPDATE)
            if not _settles(one, observed)
        )
    may_prune = (mirror or mirrors.defaults).prune
    if not may_prune and any(one.before for one in repository.of(Action.PRUNE)):
        yield "it prunes, and prune is false there"


def _unlike(repository: RepositoryPlan, mirror: Mirror) -> Iterator[str]:
    """How the plan of a mirror differs from mirrors.yaml."""
    if repository.source != mirror.source:
        yield f"expected the source {mirror.source}, the plan has {repository.source}"
    if repository.platforms != mirror.platforms:
        yield "expected the platforms of mirrors.yaml, the plan has others"
    if repository.referrer_types != mirror.referrer_types and repository.of(Action.ADD, Action.UPDATE):
        yield "expected the types of referrers of mirrors.yaml, the plan has others"
    if repository.referrers != mirror.referrers and repository.of(Action.ADD, Action.UPDATE):
        yield f"expected referrers: {str(mirror.referrers).lower()}, as mirrors.yaml has it"
    for change in repository.of(Action.ADD, Action.UPDATE):
        if not _may_be_chosen(change, mirror):
            yield f"{change.tag}: no pattern of mirrors.yaml chooses it"


def _too_young(repository: RepositoryPlan, mirror: Mirror, index: MirrorIndex, now: datetime) -> Iterator[str]:
    """The images that have to wait, by what the index has seen.

    The plan's word counts only where nothing but a request could verify it: for the time of another witness.
    """
    state = index.repositories.get(repository.target, RepositoryState(repository.source))
    for change in repository.of(Action.ADD, Action.UPDATE):
        waiting = change.after and wait(mirror, state, change.tag, change.after.digest, now, change.at_source)
        if waiting and change.by != MOVED and not (change.by and waiting.until and may_testify(change.by, mirror)):
            yield f"{change.tag}: {waiting.digest} is not old enough for min_age"


def _moved(repository: RepositoryPlan, mirror: Mirror) -> Iterator[str]:
    """The immutable tags that move without consent, and consents to what cannot need any."""
    for change in repository.of(Action.ADD, Action.UPDATE):
        moves = change.before and change.after and change.before.digest != change.after.digest
        if change.by == MOVED and not (moves and any(one.may_choose(change.at_source) for one in mirror.immutable)):
            yield f"{change.tag}: {MOVED} is not for this tag, which is not immutable or has not moved"
        elif moves and change.by != MOVED and _is_frozen(mirror, change):
            yield f"{change.tag}: it is immutable, and moves without {MOVED}"


def _is_frozen(mirror: Mirror, change: Change) -> bool:
    """Whether `immutable` freezes a tag whatever else the source lists. An edit of a pin moves it on purpose."""
    certain = (one for one in mirror.immutable if not (one.is_relative or one.means_versions))
    named = mirror.named.get(change.tag)
    is_pin = isinstance(named, Pinned) and not isinstance(named, Locked)
    return not is_pin and any(one.may_choose(change.at_source) for one in certain)


def _may_be_chosen(change: Change, mirror: Mirror) -> bool:
    """Whether a pattern may choose the tag. Which tags are the newest is known only from the source's list."""
    if mirror.name_of(change.at_source) != change.tag:
        return False
    choosing = [pattern for pattern in mirror.tags if pattern.may_choose(change.at_source)]
    pins = [pattern for pattern in choosing if isinstance(pattern, Pinned)]
    if pins:
        return change.after is not None and any(pin.digest == change.after.digest for pin in pins)
    return bool(choosing)


def _settles(change: Change, state: RepositoryState) -> bool:
    """Whether the change only publishes a pending tag again as the mirror index has it."""
    recorded = state.tags.get(change.tag)
    return recorded is not None and change.tag in state.pending and recorded.descriptor == change.after


def _out_of_step(change: Change, state: RepositoryState) -> str | None:
    """Why a change does not start from what the mirror index has, None if it does."""
    recorded = state.tags.get(change.tag)
    if change.before != recorded:
        return f"{change.tag}: the mirror index has something else there than the plan"
    if recorded is None and change.action is Action.PRUNE and change.tag not in state.pending:
        return f"{change.tag}: the mirror index has no such tag"
    return None


def _counted(repository: RepositoryPlan, index: MirrorIndex) -> RepositoryPlan:
    state = index.repositories.get(repository.target, RepositoryState(repository.source))
    changing = {change.tag for change in repository.changes}
    return replace(repository, unchanged=len(state.tags.keys() - changing))


def _twice(names: Iterable[str]) -> Iterator[str]:
    return (f"{name} is there twice" for name, number in Counter(names).items() if number > 1)
