"""A plan: the changes of every repository, what they were computed from, and what stands in their way. Pure.

Three readers print, judge and apply a plan (`cli.render.plan`, `guards`, `apply`); none of them adds to it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.oci.spec import Digest, Platform
from reconciler.plan.ages import NO_AGES, Ages
from reconciler.plan.diff import Action, Change, diff
from reconciler.target.index_changes import noted, saw, with_delivered

if TYPE_CHECKING:
    from reconciler.mirrors.selection import Tally
    from reconciler.plan.desire import Desired
    from reconciler.plan.sizes import Sizes
    from reconciler.signatures.signers import Refused
    from reconciler.sources.quota import Spending
    from reconciler.target.index import Delivered, Held, LeftOut, MirrorIndex


class Extent(Frozen):
    """How many tags and repositories of a mirrors file the mirror index has."""

    tags: int = 0
    repositories: int = 0


class RepositoryPlan(Frozen):
    """The changes of one repository.

    unchanged  how many other tags it has
    error      what failed, so that nothing is pruned
    refused    tags that do not change because of their signatures; if there are any, `error` says so
    referrers  whether what is attached to an image is mirrored with it
    warnings   what deserves attention, although nothing failed
    tallies    how many tags each pattern chooses, if the source could be listed
    gone       tags that stay although the source no longer has them, and since when; None: not known
    left_out   tags that a pattern chooses and that cannot be mirrored as configured; None: not known
    held       tags that stay as a restore has left them; they count as unchanged
    released   holds that an edit of mirrors.yaml has ended
    ages       tags that wait for `min_age`, and what was seen of them
    referrer_types  globs of the artifact types of what is attached; empty: all
    delivered  the box that the images come from, which the index is to note; None: none, or as before
    reasons    those of the error, of `errors.REASONS`, each once; a saved plan does not have them
    """

    target: str
    source: str
    platforms: tuple[Platform, ...] | None
    unchanged: int
    changes: tuple[Change, ...]
    error: str | None
    refused: tuple[Refused, ...] = ()
    referrers: bool = False
    warnings: tuple[str, ...] = ()
    tallies: tuple[Tally, ...] = ()
    gone: Mapping[str, datetime] | None = None
    left_out: Mapping[str, LeftOut] | None = None
    held: Mapping[str, Held] = field(default_factory=dict)
    released: Mapping[str, Held] = field(default_factory=dict)
    ages: Ages = NO_AGES
    referrer_types: tuple[str, ...] = ()
    reasons: tuple[str, ...] = field(default=(), compare=False)
    delivered: Delivered | None = None

    @property
    def troubles(self) -> tuple[str, ...]:
        """Returns everything that went wrong, one sentence each."""
        refusals = (f"{self.source}:{one.tag}@{one.digest}: {one.why}" for one in self.refused)
        return (self.error, *refusals) if self.error else ()

    def of(self, *actions: Action) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.action in actions)


class Plan(Frozen):
    """What an apply is to do.

    serial       that of the mirror index that the plan was computed from
    etag         that of the same index; None: there was none yet
    manifests    manifests that were read for the plan, so that an apply need not fetch them
    spendings    what an apply uses of the quotas that registries report
    sizes        its transfers and requests, if they were estimated
    warnings     those that are not about one repository
    notes        information that needs no action
    extent       what the mirror index has, by which the guards judge whether the prunes are many
    root         the sha256 of the root of the mirror index; None: none yet, or the plan is of an older release
    allow_prune  whether many prunes at once are allowed
    older_box    why its box may not be applied, which is older than one before it; None: it may
    """

    mirrors_sha256: str
    serial: int
    etag: str | None
    repositories: tuple[RepositoryPlan, ...]
    manifests: Mapping[Digest, bytes] = field(default_factory=dict)
    spendings: tuple[Spending, ...] = ()
    sizes: Sizes | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    extent: Extent = Extent()
    allow_prune: bool = False
    root: Digest | None = None
    older_box: str | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Returns the summary: the number of each action, of unchanged tags, of repositories with an error, and of
        tags that wait, if any do."""
        waiting = sum(len(repository.ages.waiting) for repository in self.repositories)
        actions = Counter(change.action for repository in self.repositories for change in repository.changes)
        return {
            **{action.value: actions[action] for action in Action},
            "unchanged": sum(repository.unchanged for repository in self.repositories),
            "errors": sum(repository.error is not None for repository in self.repositories),
            **({"waiting": waiting} if waiting else {}),
        }

    @property
    def has_changes(self) -> bool:
        return any(repository.changes for repository in self.repositories)

    @property
    def shared_errors(self) -> Mapping[str, tuple[str, ...]]:
        """Returns errors that several repositories have word for word, and their targets.

        They are one fault of one registry, which is shown once.
        """
        targets: defaultdict[str, list[str]] = defaultdict(list)
        for repository in self.repositories:
            if repository.error:
                targets[repository.error].append(repository.target)
        return {error: tuple(several) for error, several in targets.items() if len(several) > 1}

    @property
    def all_warnings(self) -> tuple[str, ...]:
        """Returns the warnings of the whole plan, then those of its repositories with their names."""
        named = (f"{one.target}: {warning}" for one in self.repositories for warning in one.warnings)
        return (*self.warnings, *named)


def plan_for(
    desired: Iterable[Desired], index: MirrorIndex, etag: str | None, mirrors_sha256: str, name: str = "default"
) -> Plan:
    """Returns the plan that leads from `index` to `desired`, for the mirrors file `name`."""
    repositories = tuple(_repository_plan(repository, index) for repository in desired)
    extent = extent_of(index, name, {one.target for one in repositories})
    return Plan(mirrors_sha256, index.serial, etag, repositories, extent=extent)


def leaving_out(plan: Plan, found: Mapping[str, Mapping[str, LeftOut]]) -> Plan:
    """Returns `plan` without the adds and updates of tags that turned out not to be mirrorable, given by target."""
    return replace(plan, repositories=tuple(_leaving_out(one, found.get(one.target, {})) for one in plan.repositories))


def noted_all(index: MirrorIndex, plan: Plan, now: datetime) -> MirrorIndex:
    """Returns `index` with the tags that the plan found gone at the sources, not mirrorable, or not old enough.

    It is `index` itself if it has them all, so that nothing is written.
    """
    for one in plan.repositories:
        index = noted(index, one.target, one.source, now, gone=one.gone, left_out=one.left_out, released=one.released)
        if one.ages.sightings is not None:
            index = saw(index, one.target, one.source, one.ages.sightings, now)
        if one.delivered:
            index = with_delivered(index, one.target, one.source, one.delivered)
    return index


def extent_of(index: MirrorIndex, name: str, targets: Collection[str]) -> Extent:
    """Returns what `index` has of the mirrors file `name`, to which `targets` are to belong."""
    ours = [one for target, one in index.repositories.items() if one.owner == name or target in targets]
    return Extent(sum(len(one.tags) for one in ours), sum(bool(one.tags) for one in ours))


def without_prunes(plan: Plan) -> Plan:
    """Returns the plan for `--no-prune`, which counts the tags of prunes as unchanged."""
    return replace(plan, repositories=tuple(_only(one, Action.ADD, Action.UPDATE) for one in plan.repositories))


def only_adds(plan: Plan) -> Plan:
    """Returns the plan for `--only-missing`, which counts the tags of updates and prunes as unchanged."""
    return replace(plan, repositories=tuple(_only(repository, Action.ADD) for repository in plan.repositories))


def _leaving_out(repository: RepositoryPlan, found: Mapping[str, LeftOut]) -> RepositoryPlan:
    staying = [one for one in repository.changes if one.tag not in found]
    unchanged = repository.unchanged + sum(one.tag in found for one in repository.of(Action.UPDATE))
    left_out = repository.left_out if not found else {**(repository.left_out or {}), **found}
    return replace(repository, changes=tuple(staying), unchanged=unchanged, left_out=left_out)


def _only(repository: RepositoryPlan, *actions: Action) -> RepositoryPlan:
    left = [change for change in repository.changes if change.action not in actions]
    unchanged = repository.unchanged + sum(change.before is not None for change in left)
    return replace(repository, unchanged=unchanged, changes=repository.of(*actions))


def _repository_plan(desired: Desired, index: MirrorIndex) -> RepositoryPlan:
    changes = diff(desired, index)
    touched = {change.tag for change in changes}
    observed = index.repositories.get(desired.target)
    unchanged = len(observed.tags.keys() - touched) if observed else 0
    error = "; ".join(desired.errors) or None
    return RepositoryPlan(
        desired.target,
        desired.source,
        desired.platforms,
        unchanged,
        changes,
        error,
        desired.refused,
        desired.referrers,
        desired.warnings,
        desired.tallies,
        desired.gone,
        desired.left_out,
        desired.held,
        desired.released,
        desired.ages,
        desired.referrer_types,
        desired.reasons,
    )
