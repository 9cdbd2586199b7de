"""A plan as JSON: `schema/plan.schema.json`, for `plan --format json` and for `plan --out`. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from reconciler.errors import Malformed, UsageError
from reconciler.mirrors.model import EVERY
from reconciler.mirrors.selection import Tally
from reconciler.oci.spec import Descriptor, Digest, is_tag, load_json, parse_media_type
from reconciler.plan.ages_json import ages_document, parse_ages
from reconciler.plan.cost.prices import months_document, requests_document
from reconciler.plan.diff import Action, Change
from reconciler.plan.guards import held_back
from reconciler.plan.plan import Extent, Plan, RepositoryPlan
from reconciler.signatures.signers import Refused, knowledge_document, parse_knowledge
from reconciler.sources.quota import spending_document
from reconciler.target.index_json import (
    gone_document,
    held_document,
    left_out_document,
    parse_gone,
    parse_held,
    parse_left_out,
    parse_platforms,
    parse_tag_document,
    platforms_document,
    tag_document,
)
from reconciler.target.layout import target_problem

if TYPE_CHECKING:
    from reconciler.plan.sizes import Sizes
    from reconciler.target.index import LeftOut

VERSION = 1


def plan_document(plan: Plan) -> dict[str, Any]:
    """Writes the plan as `schema/plan.schema.json` describes it."""
    return {
        "version": VERSION,
        "mirrors_sha256": plan.mirrors_sha256,
        "index": {
            "serial": plan.serial,
            "etag": plan.etag,
            **({"root": str(plan.root)} if plan.root else {}),
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
                **({"referrer_types": list(repository.referrer_types)} if repository.referrer_types else {}),
                **({"warnings": list(repository.warnings)} if repository.warnings else {}),
                **({} if repository.gone is None else {"gone": gone_document(repository.gone)}),
                **({} if repository.left_out is None else {"left_out": _left_out_document(repository.left_out)}),
                **({"held": held_document(repository.held)} if repository.held else {}),
                **({"released": held_document(repository.released)} if repository.released else {}),
                **ages_document(repository.ages),
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
    """Writes one change, for plans and for the outcomes of an apply."""
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
        **({"by": change.by} if change.by else {}),
        **({"source_tag": change.source_tag} if change.source_tag else {}),
        **({"source": change.source} if change.source else {}),
    }


def _left_out_document(left_out: Mapping[str, LeftOut]) -> dict[str, Any]:
    return {tag: left_out_document(one) for tag, one in sorted(left_out.items())}


def _refused_document(one: Refused) -> dict[str, str]:
    return {"tag": one.tag, "digest": str(one.digest), "reason": one.why}


def sizes_document(sizes: Sizes) -> dict[str, Any]:
    """Writes the sizes of a plan, and what they cost."""
    requests, prices, stored = sizes.requests, sizes.prices, sizes.after
    return {
        "download": {"bytes": sizes.downloaded, "blobs": sizes.blobs, "manifests": sizes.manifests},
        "upload_bytes": sizes.uploaded,
        "copied_within_bucket_bytes": sizes.copied,
        "stored_bytes": None if stored is None else {"before": sizes.before, "after": stored},
        "retired_digests": sizes.retired,
        "requests": requests_document(requests) if requests else None,
        "month": months_document(prices, stored, requests) if requests and prices and stored is not None else None,
        **({"worker": {"images": sizes.worker.images, "requests": sizes.worker.requests}} if sizes.worker else {}),
        "unread": [{"target": one.target, "tag": one.tag, "reason": one.reason} for one in sizes.unread],
    }


def serialise_plan(plan: Plan) -> str:
    """Writes the plan as JSON text with a line end, the same for equal plans."""
    return json.dumps(plan_document(plan), indent=2) + "\n"


def serialise_with_manifests(plan: Plan) -> str:
    """Writes the plan with the manifests that it holds, so that an apply need not fetch them."""
    held = {"manifests": _manifests_document(plan.manifests)} if plan.manifests else {}
    return json.dumps({**plan_document(plan), **held}, indent=2) + "\n"


def parse_plan(body: bytes, where: str) -> Plan:
    """Parses a saved plan. Its quotas and sizes are left out, since they were true only when it was made.

    Raises `UsageError` for anything that is not a plan; `where` names the file in it.
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
                named = counts.get("root")
                root = Digest.parse(named) if isinstance(named, str) else None
                return Plan(
                    mirrors_sha256,
                    serial,
                    etag,
                    parsed,
                    manifests,
                    warnings=warnings,
                    notes=notes,
                    extent=extent,
                    root=root,
                )
            case _:
                raise Malformed(where, "expected version, mirrors_sha256, index and repositories")
    except Malformed as error:
        raise UsageError(f"{where}: not a plan ({error}); make one with `r2mirror plan --out PLAN`") from None


def _parse_repository(entry: Any) -> RepositoryPlan:
    match entry:
        case {
            "target": str(target),
            "source": str(source),
            "unchanged": int(unchanged),
            "changes": list(changes),
            "error": str() | None as error,
        } if all(isinstance(entry.get(key, []), list) for key in ("refused", "patterns")):
            # An error about a namespace is no repository, and has no changes.
            problem = target_problem(target if entry.get("changes") else target.replace(EVERY, "repository", 1))
            if problem:
                raise Malformed(f"target {target[:90]!r}", problem)
            platforms = parse_platforms(entry.get("platforms"), target)
            parsed = tuple(_parse_change(change, target) for change in changes)
            refused = tuple(_parse_refused(one, target) for one in entry.get("refused", []))
            referrers = entry.get("referrers", False)
            if not isinstance(referrers, bool):
                raise Malformed(target, "expected referrers to be true or false")
            types = _parse_lines("referrer_types", entry.get("referrer_types", []), target)
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
                parse_held(entry.get("held", {}), target),
                parse_held(entry.get("released", {}), target),
                parse_ages(entry, target),
                types,
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
        change = replace(change, signature=parse_knowledge(entry["signature"], f"a change of {target}"))
    match entry.get("by"), entry.get("source_tag"), entry.get("source"):
        case str() | None as by, str() | None as source_tag, str() | None as source if source_tag is None or is_tag(
            source_tag
        ):
            return replace(change, by=by, source_tag=source_tag, source=source)
        case _:
            why = "expected by to be the name of an option, source_tag a tag, and source a source"
            raise Malformed(f"a change of {target}", why)


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
        # The file may have been edited, and an apply publishes these bytes without fetching them.
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
