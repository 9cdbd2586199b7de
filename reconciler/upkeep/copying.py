"""Copies one image into the store, whatever mirrors.yaml chooses, and holds its tag there. Prints nothing.

    from reconciler.mirrors.load import load_mirrors
    from reconciler.plan.connections import connect
    from reconciler.upkeep.copying import copy_image, plan_copy

    mirrors = load_mirrors(Path("mirrors.yaml"), os.environ)
    with connect(mirrors, os.environ) as connections:
        planned = plan_copy(mirrors, connections, "docker.io/library/redis:7.4")
        print(copy_image(planned, connections, Caller("my program")))

It is an apply of a plan with one change, with all checks of an apply. Its mirror index has the tag and its hold in one
write: an apply that finds the one finds the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.apply.apply import apply_made
from reconciler.apply.observer import UNOBSERVED, Observer
from reconciler.apply.outcome import Failed, NotMirrored, Skipped
from reconciler.apply.planned import Options
from reconciler.apply.settings import Holding
from reconciler.errors import Malformed, PlanRefused, UsageError
from reconciler.frozen import Frozen
from reconciler.mirrors.model import Mirror
from reconciler.mirrors.patterns import PatternError
from reconciler.mirrors.patterns.named import Named, parse_name
from reconciler.plan.ages import Consent
from reconciler.plan.diff import Action
from reconciler.plan.make import Made, in_silence, make
from reconciler.plan.settings import Choices
from reconciler.sources.kinds import parse_source
from reconciler.target.index import COPIED, RepositoryState
from reconciler.target.layout import target_problem
from reconciler.upkeep.goals import OneTag
from reconciler.upkeep.restore import restore_bucket

if TYPE_CHECKING:
    from reconciler.apply.outcome import Event
    from reconciler.mirrors.model import Mirrors
    from reconciler.oci.spec import Digest, Platform
    from reconciler.plan.connections import Connections
    from reconciler.plan.make import Stage
    from reconciler.plan.plan import Plan, RepositoryPlan
    from reconciler.sources.names import SourceName
    from reconciler.upkeep.caller import Caller


class PlannedCopy(Frozen):
    """A copy that was planned.

    mirrors  the mirrors file, as if it chose this tag alone of its repository
    mirror   the one that the copy is made for
    before   the digest that the tag has now; None: it has none
    after    the digest that the source has
    """

    mirrors: Mirrors
    mirror: Mirror
    tag: str
    made: Made
    before: Digest | None
    after: Digest

    @property
    def is_there(self) -> bool:
        """Whether the image is mirrored already, so that its tag is only to be held."""
        return not self.made.plan.has_changes


def mirror_for(
    mirrors: Mirrors, reference: str, target: str | None = None, platforms: Sequence[Platform] = ()
) -> Mirror:
    """Returns the mirror that chooses one image, `SOURCE:TAG` or `SOURCE:TAG@DIGEST`, and nothing else.

    It has the settings of the mirror of mirrors.yaml with that source or target, else the defaults. Raises
    `UsageError`.
    """
    source, name = _parsed(reference)
    mirrors = mirrors.including(mirrors.namespaced(source.text))
    found = [one for one in mirrors.mirrors if one.source == source.text and target in (None, one.target)]
    place = target or (found[0].target if found else source.target)
    if place is None:
        raise UsageError(f"{reference[:300]}: add the target, e.g. `r2mirror copy {source.text[:300]} team/app`")
    problem = target_problem(place)
    if problem:
        raise UsageError(f"{place[:90]!r} is not a valid target: {problem}")
    other = next((one for one in mirrors.mirrors if one.target == place and one.source != source.text), None)
    if other:
        raise UsageError(f"{place} is mirrored from {other.source}, not from {source.text}; name another target")
    base = found[0] if found else _by_default(mirrors, source.text, place)
    limited = tuple(platforms) or base.platforms
    return replace(base, tags=(name,), exclude=(), platforms=limited, prune=False, fallbacks=())


def _parsed(reference: str) -> tuple[SourceName, Named]:
    head, at, digest = reference.partition("@")
    source, _, tag = head.rpartition(":")
    try:
        name = parse_name(f"{tag}{at}{digest}")
        return parse_source(source), name
    except (PatternError, Malformed) as error:
        why = error.message if isinstance(error, PatternError) else error.why
        example = "write e.g. docker.io/library/redis:7.4"
        raise UsageError(f"{reference[:300]!r} is not a valid image: {why}; {example}") from None


def _by_default(mirrors: Mirrors, source: str, target: str) -> Mirror:
    one = mirrors.defaults
    return Mirror(
        source,
        target,
        (),
        (),
        one.immutable,
        one.platforms,
        prune=False,
        retain=one.retain,
        signed_by=one.signed_by,
        referrers=one.referrers,
        min_age=one.min_age,
        referrer_types=one.referrer_types,
        referrers_from=one.referrers_from,
    )


def plan_copy(
    mirrors: Mirrors,
    connections: Connections,
    reference: str,
    target: str | None = None,
    platforms: Sequence[Platform] = (),
    *,
    now: bool = False,
    stage: Stage = in_silence,
) -> PlannedCopy:
    """Plans the copy of one image. Writes nothing.

    reference  `SOURCE:TAG`, or `SOURCE:TAG@DIGEST`
    target     None: that of the mirror with this source, else the source's own path
    platforms  those to copy; empty: those of the mirror, or of the defaults
    now        whether the image is published even if it is not old enough for `min_age`

    Raises `UsageError` for what cannot be copied there, `PlanRefused` for an image that must not be published, and as
    `reconciler.plan.make.make` does.
    """
    mirror = mirror_for(mirrors, reference, target, platforms)
    (name,) = mirror.named
    # The others are not planned for; an apply has to know how long each of them retains what it has.
    others = tuple(one for one in mirrors.mirrors if one.target != mirror.target)
    file = replace(mirrors, mirrors=(*others, mirror))
    consent = Consent(now=frozenset({f"{mirror.target}:{name}"})) if now else Consent()
    made = make(file, connections, Choices(only=(mirror.target,), consent=consent), stage=stage)
    state = made.observed.index.repositories.get(mirror.target, RepositoryState(mirror.source))
    _check(mirror, name, state)
    plan = _only(made.plan, mirror.target, name)
    (repository,) = plan.repositories
    _check_plan(repository, mirror, name)
    before = state.tags[name].digest if name in state.tags else None
    after = next((one.after.digest for one in repository.changes if one.after), before)
    if after is None:
        raise PlanRefused((f"{mirror.source}:{name}: there is nothing to copy",))
    return PlannedCopy(file, mirror, name, replace(made, plan=plan), before, after)


def _check(mirror: Mirror, tag: str, state: RepositoryState) -> None:
    """Raises `UsageError` where the repository has another source, or the tag is held."""
    if state.tags and state.source != mirror.source:
        raise UsageError(
            f"{mirror.target} is mirrored from {state.source}, not from {mirror.source}; name another target"
        )
    hold = state.holds(mirror.entry or None).get(tag)
    if hold:
        held = f"is held {f'at {hold.digest}' if hold.digest else 'as removed'}"
        name = f"{mirror.target}:{tag}"
        raise UsageError(f"{name} {held}; run `r2mirror release {name}` first, then copy again")


def _only(plan: Plan, target: str, tag: str) -> Plan:
    """Returns the plan without all that is not about this tag: the copy says nothing about the others."""
    one = next(one for one in plan.repositories if one.target == target)
    changes = tuple(change for change in one.changes if change.tag == tag and change.action is not Action.PRUNE)
    ages = replace(one.ages, sightings=None, vanished=())
    one = replace(one, changes=changes, gone=None, left_out=None, released={}, ages=ages)
    return replace(plan, repositories=(one,))


def _check_plan(one: RepositoryPlan, mirror: Mirror, tag: str) -> None:
    """Raises `PlanRefused` for an image that cannot be resolved, is not signed as required, or has to wait."""
    if one.error:
        raise PlanRefused(one.troubles)
    for waiting in one.ages.waiting:
        until = f"it is on {waiting.until:%Y-%m-%d %H:%M} UTC" if waiting.until else "it had left its tag before it was"
        why = f"{waiting.digest} is not old enough for min_age; {until}. --now copies it at once"
        raise PlanRefused((f"{mirror.source}:{tag}: {why}",))


def copy_image(
    planned: PlannedCopy, connections: Connections, caller: Caller, observer: Observer = UNOBSERVED
) -> tuple[str, ...]:
    """Copies the image that was planned, and holds its tag. Returns why it was not copied, nothing if it was.

    Raises `PlanRefused` if the mirror has changed since it was planned, `LockHeld`, `LockLost` and `StoreError`.
    """
    target, tag, mirrors = planned.mirror.target, planned.tag, planned.mirrors
    if planned.is_there:
        request = OneTag(target, tag, to=planned.after)
        restore_bucket(mirrors, connections.target, caller, request)
        return ()
    hold = Holding(COPIED, planned.mirror.entry or None)
    options = Options(caller.command, lock_timeout=caller.lock_timeout, hold=hold)
    with closing(apply_made(planned.made, mirrors, connections, options, observer)) as events:
        return tuple(why for one in events if (why := _failure(one)))


def _failure(event: Event) -> str | None:
    match event:
        case Failed():
            return event.error
        case Skipped() | NotMirrored():
            return event.reason
        case _:
            return None
