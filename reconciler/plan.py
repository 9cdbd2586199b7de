"""A plan: the changes of every repository, what they were computed from, and what stands in their way. Pure.

A plan is printed, judged and applied by three readers (`render`, `held_back`, `apply`); none of them adds to it. Its
JSON form is `schema/plan.schema.json`, the same for `plan --format json` and for `plan --out`.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from reconciler.diff import Action, Change, diff
from reconciler.errors import Malformed, UsageError
from reconciler.index import parse_platforms, parse_tag_document, platforms_document, tag_document
from reconciler.layout import target_problem
from reconciler.oci import Descriptor, Digest, Platform, is_tag, load_json, parse_media_type
from reconciler.signatures.signers import Refused, knowledge_document, parse_knowledge

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.desire import Desired
    from reconciler.index import MirrorIndex

VERSION = 1

PRUNE_SHARE = 0.30
PRUNE_COUNT = 10
"""More prunes in one repository than both of these, as a share of its tags and as a number, need `--allow-prune`."""


@dataclass(frozen=True)
class RepositoryPlan:
    """The changes of one repository. `unchanged` counts its other tags; `error` is why less than all was looked at.

    `refused` are tags that do not change because of their signatures; where there are some, `error` says so.
    `referrers`: whether what is attached to an image comes along.
    """

    target: str
    source: str
    platforms: tuple[Platform, ...] | None
    unchanged: int
    changes: tuple[Change, ...]
    error: str | None
    refused: tuple[Refused, ...] = ()
    referrers: bool = False

    @property
    def troubles(self) -> tuple[str, ...]:
        """Everything that went wrong, a sentence each."""
        refusals = (f"{self.source}:{one.tag}@{one.digest}: {one.why}" for one in self.refused)
        return (self.error, *refusals) if self.error else ()

    def of(self, *actions: Action) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.action in actions)


@dataclass(frozen=True)
class Plan:
    """`serial` and `etag` are those of the mirror index the plan was computed from; `etag` None: there was none yet."""

    mirrors_sha256: str
    serial: int
    etag: str | None
    repositories: tuple[RepositoryPlan, ...]

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


def make_plan(desired: Iterable[Desired], index: MirrorIndex, etag: str | None, mirrors_sha256: str) -> Plan:
    """The plan that leads from `index` to `desired`."""
    return Plan(
        mirrors_sha256, index.serial, etag, tuple(_repository_plan(repository, index) for repository in desired)
    )


def held_back(repository: RepositoryPlan) -> str | None:
    """Why the prunes of a repository need `--allow-prune`, in words; None if they do not."""
    prunes = sum(change.before is not None for change in repository.of(Action.PRUNE))
    tags = repository.unchanged + prunes + len(repository.of(Action.UPDATE))
    if prunes > PRUNE_COUNT and prunes > PRUNE_SHARE * tags:
        return f"{repository.target}: {prunes} of {tags} tags would be pruned; if that is meant, add --allow-prune"
    return None


def without_prunes(plan: Plan) -> Plan:
    """The plan for `--no-prune`: what would have gone is unchanged."""
    return Plan(
        plan.mirrors_sha256,
        plan.serial,
        plan.etag,
        tuple(
            RepositoryPlan(
                repository.target,
                repository.source,
                repository.platforms,
                repository.unchanged + sum(change.before is not None for change in repository.of(Action.PRUNE)),
                repository.of(Action.ADD, Action.UPDATE),
                repository.error,
                repository.refused,
                repository.referrers,
            )
            for repository in plan.repositories
        ),
    )


def document(plan: Plan) -> dict[str, Any]:
    """The plan as `schema/plan.schema.json` has it."""
    return {
        "version": VERSION,
        "mirrors_sha256": plan.mirrors_sha256,
        "index": {"serial": plan.serial, "etag": plan.etag},
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
            }
            for repository in plan.repositories
        ],
        "summary": plan.counts,
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


def _refused_document(one: Refused) -> dict[str, str]:
    return {"tag": one.tag, "digest": str(one.digest), "reason": one.why}


def serialise(plan: Plan) -> str:
    """The plan as JSON text with a line end, the same for equal plans."""
    return json.dumps(document(plan), indent=2) + "\n"


def parse(body: bytes, where: str) -> Plan:
    """A saved plan. Raises `UsageError`, which names `where` it is, for anything that is not one."""
    try:
        match load_json(body, where):
            case {"version": int(version)} if version != VERSION:
                raise UsageError(f"{where}: a plan of version {version}, this r2mirror applies version {VERSION}")
            case {
                "version": 1,
                "mirrors_sha256": str(mirrors_sha256),
                "index": {"serial": int(serial), "etag": str() | None as etag},
                "repositories": list(repositories),
            }:
                return Plan(mirrors_sha256, serial, etag, tuple(_parse_repository(entry) for entry in repositories))
            case _:
                raise Malformed(where, "expected version, mirrors_sha256, index and repositories")
    except Malformed as error:
        raise UsageError(f"{where}: not a plan ({error}); make one with `r2mirror plan --out {where}`") from None


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
    )


def _parse_repository(entry: Any) -> RepositoryPlan:
    match entry:
        case {
            "target": str(target),
            "source": str(source),
            "unchanged": int(unchanged),
            "changes": list(changes),
            "error": str() | None as error,
        } if isinstance(entry.get("refused", []), list):
            problem = target_problem(target)
            if problem:
                raise Malformed(f"target {target[:90]!r}", problem)
            platforms = parse_platforms(entry.get("platforms"), target)
            parsed = tuple(_parse_change(change, target) for change in changes)
            refused = tuple(_parse_refused(one, target) for one in entry.get("refused", []))
            referrers = entry.get("referrers", False)
            if not isinstance(referrers, bool):
                raise Malformed(target, "expected referrers to be true or false")
            return RepositoryPlan(target, source, platforms, unchanged, parsed, error, refused, referrers)
        case _:
            raise Malformed("a repository of the plan", "expected target, source, unchanged, changes and error")


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
