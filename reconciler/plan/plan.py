"""A plan: the changes of every repository, what they were computed from, and what stands in their way. Pure.

A plan is printed, judged and applied by three readers (`render`, `held_back`, `apply`); none of them adds to it. Its
JSON form is `schema/plan.schema.json`, the same for `plan --format json` and for `plan --out`.
"""

from __future__ import annotations

import base64
import json
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from reconciler.errors import Malformed, UsageError
from reconciler.mirrors.selection import Tally
from reconciler.oci.spec import Descriptor, Digest, Platform, is_tag, load_json, parse_media_type
from reconciler.plan.cost.prices import months_document, requests_document
from reconciler.plan.diff import Action, Change, diff
from reconciler.signatures.signers import Refused, knowledge_document, parse_knowledge
from reconciler.sources.quota import spending_document
from reconciler.target.index import (
    gone_document,
    left_out_document,
    noted,
    parse_gone,
    parse_left_out,
    parse_platforms,
    parse_tag_document,
    platforms_document,
    tag_document,
)
from reconciler.target.layout import target_problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from reconciler.plan.cost.figures import Sizes
    from reconciler.plan.desire import Desired
    from reconciler.sources.quota import Spending
    from reconciler.target.index import LeftOut, MirrorIndex

VERSION = 1

PRUNE_SHARE = 0.30
PRUNE_COUNT = 10
"""More prunes than both of these, as a share of the tags and as a number, need `--allow-prune`: in one repository, or
in all of them."""

EMPTIED_SHARE = 1 / 3
EMPTIED_COUNT = 2
"""More repositories that lose their last tag than both of these need it too."""


@dataclass(frozen=True)
class Extent:
    """What the mirror index has of a mirrors file: how many tags, and in how many repositories."""

    tags: int = 0
    repositories: int = 0


@dataclass(frozen=True)
class RepositoryPlan:
    """The changes of one repository. `unchanged` counts its other tags; `error` is why less than all was looked at.

    `refused` are tags that do not change because of their signatures; where there are some, `error` says so.
    `referrers`: whether what is attached to an image comes along. `warnings`: what should be looked at, although
    nothing failed. `tallies`: how many tags each pattern chooses, where the source could be listed.
    `gone`: tags that stay although the source has them no more, and since when; `left_out`: tags that a pattern chooses
    and that cannot be mirrored as asked. Either is None where nobody could look.
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

    @property
    def troubles(self) -> tuple[str, ...]:
        """Everything that went wrong, a sentence each."""
        refusals = (f"{self.source}:{one.tag}@{one.digest}: {one.why}" for one in self.refused)
        return (self.error, *refusals) if self.error else ()

    def of(self, *actions: Action) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.action in actions)


@dataclass(frozen=True)
class Plan:
    """`serial` and `etag` are those of the mirror index the plan was computed from; `etag` None: there was none yet.

    manifests  that were read for the plan and need not be fetched again
    spendings  what it takes of the quotas that registries told of
    sizes      what it moves and asks for, where that was asked
    warnings   that are not about one repository
    notes      what else there is to know, of which nothing follows
    extent     what there is before, by which it is judged whether the prunes are many
    allow_prune  many prunes at once are meant
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

    @property
    def counts(self) -> dict[str, int]:
        """The summary: how many of each action, how many tags unchanged, how many repositories with an error."""
        actions = Counter(change.action for repository in self.repositories for change in repository.changes)
        return {
            **{action.value: actions[action] for action in Action},
            "unchanged": sum(repository.unchanged for repository in self.repositories),
            "errors": sum(repository.error is not None for repository in self.repositories),
        }

    @property
    def has_changes(self) -> bool:
        return any(repository.changes for repository in self.repositories)

    @property
    def shared_errors(self) -> Mapping[str, tuple[str, ...]]:
        """Errors that several repositories have word for word, and their targets: one fault of one registry."""
        targets: defaultdict[str, list[str]] = defaultdict(list)
        for repository in self.repositories:
            if repository.error:
                targets[repository.error].append(repository.target)
        return {error: tuple(several) for error, several in targets.items() if len(several) > 1}

    @property
    def all_warnings(self) -> tuple[str, ...]:
        """Those of the whole plan, then those of its repositories, which they name."""
        named = (f"{one.target}: {warning}" for one in self.repositories for warning in one.warnings)
        return (*self.warnings, *named)


def make_plan(
    desired: Iterable[Desired], index: MirrorIndex, etag: str | None, mirrors_sha256: str, name: str = "default"
) -> Plan:
    """The plan that leads from `index` to `desired`, for the mirrors file that is called `name`."""
    repositories = tuple(_repository_plan(repository, index) for repository in desired)
    extent = extent_of(index, name, {one.target for one in repositories})
    return Plan(mirrors_sha256, index.serial, etag, repositories, extent=extent)


def leaving_out(plan: Plan, found: Mapping[str, Mapping[str, LeftOut]]) -> Plan:
    """`plan` without the additions and updates of the tags that were found not to be mirrorable, by target."""
    return replace(plan, repositories=tuple(_leaving_out(one, found.get(one.target, {})) for one in plan.repositories))


def noted_all(index: MirrorIndex, plan: Plan, now: datetime) -> MirrorIndex:
    """`index` after what the plan found gone at the sources, or not to be mirrored; `index` itself if it knows."""
    for one in plan.repositories:
        index = noted(index, one.target, one.source, now, gone=one.gone, left_out=one.left_out)
    return index


def extent_of(index: MirrorIndex, name: str, targets: Collection[str]) -> Extent:
    """What `index` has of the mirrors file `name`, to which `targets` are to belong."""
    ours = [one for target, one in index.repositories.items() if one.owner == name or target in targets]
    return Extent(sum(len(one.tags) for one in ours), sum(bool(one.tags) for one in ours))


def held_back(plan: Plan) -> tuple[str, ...]:
    """Why prunes of the plan need `--allow-prune`, a line for each reason; none if they do not, or have it."""
    return () if plan.allow_prune else _too_many_in_all(plan) or tuple(filter(None, map(_too_many, plan.repositories)))


def refusal(plan: Plan, repository: RepositoryPlan) -> str | None:
    """Why this repository's prunes are held back, None if they are not."""
    if plan.allow_prune:
        return None
    return next(iter(_too_many_in_all(plan)), None) or _too_many(repository)


IF_MEANT = "if that is meant, add --allow-prune"


def _too_many(repository: RepositoryPlan) -> str | None:
    prunes, tags = _lost(repository), _tags(repository)
    if prunes > PRUNE_COUNT and prunes > PRUNE_SHARE * tags:
        return f"{repository.target}: {prunes} of {tags} tags would be pruned; {IF_MEANT}"
    return None


def _too_many_in_all(plan: Plan) -> tuple[str, ...]:
    """Of more than one repository: what one of them loses is judged by itself."""
    losing = [one for one in plan.repositories if _lost(one)]
    if len(losing) < 2:
        return ()
    prunes, emptied = (
        sum(map(_lost, losing)),
        sum(_lost(one) == _tags(one) and not one.of(Action.ADD) for one in losing),
    )
    tags, repositories = plan.extent.tags, plan.extent.repositories
    reasons = []
    if prunes > PRUNE_COUNT and prunes > PRUNE_SHARE * tags:
        reasons.append(f"{prunes} of all {tags} tags would be pruned, in {len(losing)} repositories; {IF_MEANT}")
    if emptied > EMPTIED_COUNT and emptied > EMPTIED_SHARE * repositories:
        reasons.append(f"{emptied} of all {repositories} repositories would lose their last tag; {IF_MEANT}")
    return tuple(reasons)


def _lost(repository: RepositoryPlan) -> int:
    return sum(change.before is not None for change in repository.of(Action.PRUNE))


def _tags(repository: RepositoryPlan) -> int:
    """How many tags it has now."""
    return repository.unchanged + _lost(repository) + len(repository.of(Action.UPDATE))


def without_prunes(plan: Plan) -> Plan:
    """The plan for `--no-prune`: what would have gone is unchanged."""
    return replace(plan, repositories=tuple(_without_prunes(repository) for repository in plan.repositories))


def document(plan: Plan) -> dict[str, Any]:
    """The plan as `schema/plan.schema.json` has it."""
    return {
        "version": VERSION,
        "mirrors_sha256": plan.mirrors_sha256,
        "index": {
            "serial": plan.serial,
            "etag": plan.etag,
            "tags": plan.extent.tags,
            "repositories": plan.extent.repositories,
        },
        "repositories": [
            {
                "target": repository.target,
                "source": repository.source,
                "platforms": platforms_document(repository.platforms),
                "unchanged": repository.unchanged,
                "changes": [change_document(change) for change in repository.changes],
                "error": repository.error,
                **({"refused": [_refused_document(one) for one in repository.refused]} if repository.refused else {}),
                **({"referrers": True} if repository.referrers else {}),
                **({"warnings": list(repository.warnings)} if repository.warnings else {}),
                **({} if repository.gone is None else {"gone": gone_document(repository.gone)}),
                **({} if repository.left_out is None else {"left_out": _left_out_document(repository.left_out)}),
                **({"patterns": [asdict(tally) for tally in repository.tallies]} if repository.tallies else {}),
            }
            for repository in plan.repositories
        ],
        "summary": plan.counts,
        **({"held_back": list(held_back(plan))} if held_back(plan) else {}),
        **({"warnings": list(plan.warnings)} if plan.warnings else {}),
        **({"notes": list(plan.notes)} if plan.notes else {}),
        **({"quotas": [spending_document(one) for one in plan.spendings]} if plan.spendings else {}),
        **({"sizes": sizes_document(plan.sizes)} if plan.sizes else {}),
    }


def change_document(change: Change) -> dict[str, Any]:
    """One change as the plan and the outcome of an apply spell it."""
    after = change.after
    reason = {"reason": change.reason} if change.reason else {}
    signature = {"signature": knowledge_document(change.signature)} if change.signature else {}
    return {
        "action": change.action.value,
        "tag": change.tag,
        "before": tag_document(change.before) if change.before else None,
        "after": {"digest": str(after.digest), "mediaType": after.media_type, "size": after.size} if after else None,
        **reason,
        **signature,
    }


def _left_out_document(left_out: Mapping[str, LeftOut]) -> dict[str, Any]:
    return {tag: left_out_document(one) for tag, one in sorted(left_out.items())}


def _refused_document(one: Refused) -> dict[str, str]:
    return {"tag": one.tag, "digest": str(one.digest), "reason": one.why}


def sizes_document(sizes: Sizes) -> dict[str, Any]:
    """The sizes of a plan, and what they cost."""
    return {
        "download": {"bytes": sizes.downloaded, "blobs": sizes.blobs, "manifests": sizes.manifests},
        "upload_bytes": sizes.uploaded,
        "copied_within_bucket_bytes": sizes.copied,
        "stored_bytes": {"before": sizes.before, "after": sizes.after},
        "retired_digests": sizes.retired,
        "requests": None if sizes.requests is None else requests_document(sizes.requests),
        "month": months_document(sizes.after, sizes.requests) if sizes.requests and sizes.priced else None,
        "unread": [{"target": one.target, "tag": one.tag, "reason": one.reason} for one in sizes.unread],
    }


def serialise(plan: Plan) -> str:
    """The plan as JSON text with a line end, the same for equal plans."""
    return json.dumps(document(plan), indent=2) + "\n"


def serialise_held(plan: Plan) -> str:
    """As `serialise`, with the manifests that it holds: for an apply, which then need not fetch them."""
    held = {"manifests": _manifests_document(plan.manifests)} if plan.manifests else {}
    return json.dumps({**document(plan), **held}, indent=2) + "\n"


def parse(body: bytes, where: str) -> Plan:
    """A saved plan. Raises `UsageError`, which names `where` it is, for anything that is not one.

    What it says of quotas and sizes was so when it was made, and is left out.
    """
    try:
        match load_json(body, where):
            case {"version": int(version)} if version != VERSION:
                raise UsageError(f"{where}: a plan of version {version}, this r2mirror applies version {VERSION}")
            case {
                "version": 1,
                "mirrors_sha256": str(mirrors_sha256),
                "index": {"serial": int(serial), "etag": str() | None as etag, **counts},
                "repositories": list(repositories),
                **rest,
            }:
                parsed = tuple(_parse_repository(entry) for entry in repositories)
                manifests = _parse_manifests(rest.get("manifests", {}))
                warnings = _parse_lines("warnings", rest.get("warnings", []), "the plan")
                notes = _parse_lines("notes", rest.get("notes", []), "the plan")
                extent = _parse_extent(counts)
                return Plan(
                    mirrors_sha256, serial, etag, parsed, manifests, warnings=warnings, notes=notes, extent=extent
                )
            case _:
                raise Malformed(where, "expected version, mirrors_sha256, index and repositories")
    except Malformed as error:
        raise UsageError(f"{where}: not a plan ({error}); make one with `r2mirror plan --out PLAN`") from None


def _leaving_out(repository: RepositoryPlan, found: Mapping[str, LeftOut]) -> RepositoryPlan:
    staying = [one for one in repository.changes if one.tag not in found]
    unchanged = repository.unchanged + sum(one.tag in found for one in repository.of(Action.UPDATE))
    left_out = repository.left_out if not found else {**(repository.left_out or {}), **found}
    return replace(repository, changes=tuple(staying), unchanged=unchanged, left_out=left_out)


def _without_prunes(repository: RepositoryPlan) -> RepositoryPlan:
    unchanged = repository.unchanged + sum(change.before is not None for change in repository.of(Action.PRUNE))
    return replace(repository, unchanged=unchanged, changes=repository.of(Action.ADD, Action.UPDATE))


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
    )


def _parse_repository(entry: Any) -> RepositoryPlan:
    match entry:
        case {
            "target": str(target),
            "source": str(source),
            "unchanged": int(unchanged),
            "changes": list(changes),
            "error": str() | None as error,
        } if all(isinstance(entry.get(key, []), list) for key in ("refused", "patterns")):
            problem = target_problem(target)
            if problem:
                raise Malformed(f"target {target[:90]!r}", problem)
            platforms = parse_platforms(entry.get("platforms"), target)
            parsed = tuple(_parse_change(change, target) for change in changes)
            refused = tuple(_parse_refused(one, target) for one in entry.get("refused", []))
            referrers = entry.get("referrers", False)
            if not isinstance(referrers, bool):
                raise Malformed(target, "expected referrers to be true or false")
            warnings = _parse_lines("warnings", entry.get("warnings", []), target)
            tallies = tuple(_parse_tally(one, target) for one in entry.get("patterns", []))
            gone = parse_gone(entry["gone"], target) if "gone" in entry else None
            left_out = parse_left_out(entry["left_out"], target) if "left_out" in entry else None
            return RepositoryPlan(
                target,
                source,
                platforms,
                unchanged,
                parsed,
                error,
                refused,
                referrers,
                warnings,
                tallies,
                gone,
                left_out,
            )
        case _:
            raise Malformed("a repository of the plan", "expected target, source, unchanged, changes and error")


def _parse_extent(entry: dict[Any, Any]) -> Extent:
    match entry.get("tags", 0), entry.get("repositories", 0):
        case int(tags), int(repositories):
            return Extent(tags, repositories)
        case _:
            raise Malformed("index", "expected tags and repositories to be numbers")


def _parse_lines(key: str, entry: Any, what: str) -> tuple[str, ...]:
    if not isinstance(entry, list) or not all(isinstance(one, str) for one in entry):
        raise Malformed(what, f"expected {key} to be a list of texts")
    return tuple(entry)


def _parse_tally(entry: Any, target: str) -> Tally:
    match entry:
        case {"pattern": str(pattern), "matched": int(matched), "chosen": int(chosen)}:
            return Tally(pattern, matched, chosen)
        case _:
            raise Malformed(f"a pattern of {target}", "expected pattern, matched and chosen")


def _parse_refused(entry: Any, target: str) -> Refused:
    match entry:
        case {"tag": str(tag), "digest": str(digest), "reason": str(reason)}:
            return Refused(tag, Digest.parse(digest), reason)
        case _:
            raise Malformed(f"what is refused of {target}", "expected tag, digest and reason")


def _parse_change(entry: Any, target: str) -> Change:
    match entry:
        case {"action": "add", "tag": str(tag), "before": None, "after": dict(after)}:
            change = Change(Action.ADD, tag, None, _parse_after(after, target))
        case {"action": "update", "tag": str(tag), "before": dict(before), "after": dict(after)}:
            change = Change(
                Action.UPDATE,
                tag,
                parse_tag_document(before, target),
                _parse_after(after, target),
                _reason(entry, target),
            )
        case {"action": "prune", "tag": str(tag), "before": dict() | None as before, "after": None}:
            there = None if before is None else parse_tag_document(before, target)
            change = Change(Action.PRUNE, tag, there, None, _reason(entry, target))
        case _:
            raise Malformed(f"a change of {target}", "expected an action with its tag, before and after")
    if not is_tag(change.tag):
        raise Malformed(f"a change of {target}", f"{change.tag[:90]!r} is not a tag")
    if change.after and "signature" in entry:
        return replace(change, signature=parse_knowledge(entry["signature"], f"a change of {target}"))
    return change


def _manifests_document(manifests: Mapping[Digest, bytes]) -> dict[str, str]:
    return {str(digest): base64.b64encode(body).decode() for digest, body in sorted(manifests.items())}


def _parse_manifests(entry: Any) -> dict[Digest, bytes]:
    if not isinstance(entry, dict):
        raise Malformed("manifests", "expected an object of digests and base64")
    manifests = {}
    for name, text in entry.items():
        digest = Digest.parse(name)
        try:
            body = base64.b64decode(text, validate=True)
        except (TypeError, ValueError):
            raise Malformed(f"manifests: {name}", "not base64") from None
        if not digest.matches(body):
            raise Malformed(f"manifests: {name}", f"expected bytes of this digest, got those of {Digest.of(body)}")
        manifests[digest] = body
    return manifests


def _reason(entry: dict[str, Any], target: str) -> str | None:
    match entry.get("reason"):
        case str() | None as reason:
            return reason
        case _:
            raise Malformed(f"a change of {target}", "expected reason to be text")


def _parse_after(entry: dict[str, Any], target: str) -> Descriptor:
    match entry:
        case {"digest": str(digest), "mediaType": str(media_type), "size": int(size)} if size >= 0:
            return Descriptor(parse_media_type(media_type, target), Digest.parse(digest), size)
        case _:
            raise Malformed(f"a change of {target}", "expected after to have digest, mediaType and size")
