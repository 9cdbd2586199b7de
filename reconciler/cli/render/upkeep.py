"""What looking after a bucket showed, as text or a JSON document: garbage, a verification, a survey. Prints nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from reconciler.cli.render.blocks import Block, code, escaped, fitted
from reconciler.cli.render.formats import View
from reconciler.cli.render.garbage import garbage_entry, garbage_line, swept
from reconciler.cli.render.sheet import EMPTY, WIDE, Line, bold, rendered
from reconciler.pulls.merging import Merge
from reconciler.target.compaction import COUNTS_KEPT, Outdated
from reconciler.target.index_json import platforms_document
from reconciler.target.removable import Garbage, NotCollected
from reconciler.upkeep.defects import NOT_CHOSEN, DefectKind
from reconciler.words import count, size_words

if TYPE_CHECKING:
    from reconciler.cli.render.sheet import Part
    from reconciler.upkeep.defects import Defect
    from reconciler.upkeep.survey import Adoption, Survey
    from reconciler.upkeep.verify import Verification


def garbage_text(
    events: Sequence[Garbage | NotCollected | Outdated | Merge],
    *,
    dry_run: bool,
    color: bool = False,
    width: int = WIDE,
) -> str:
    """What a garbage collection removed, a line for each repository; of a dry run every key, in order of removal."""
    parts: list[Part] = []
    for one in swept(events):
        parts.append(garbage_line(one, "to remove" if dry_run else "removed"))
        if dry_run and isinstance(one, Garbage):
            parts += [Line((f"  - {key}", "red")) for step in one.steps() for key in step]
    for left in (one for one in events if isinstance(one, Outdated) and one.objects):
        verb = "to remove" if dry_run else "removed"
        words = f"{count(len(left.roots), 'version')} and {count(len(left.states), 'part')}"
        if left.roots or left.states:
            parts.append(Line(f"mirror index: {words} older than `history` {verb}"))
        if left.counts:
            words = f"{count(len(left.counts), 'object')} older than {count(COUNTS_KEPT.days, 'day')} {verb}"
            parts.append(Line(f"counts of pulls: {words}"))
        if dry_run:
            parts += [Line((f"  - {key}", "red")) for key in left.keys]
    parts += _merged(events, dry_run=dry_run)
    return rendered(
        [*parts, *([EMPTY] if parts else []), bold(garbage_summary(events, dry_run=dry_run))], color=color, width=width
    )


def _merged(events: Sequence[Garbage | NotCollected | Outdated | Merge], *, dry_run: bool) -> list[Part]:
    merges = [one for one in events if isinstance(one, Merge)]
    if not merges:
        return []
    objects = count(sum(len(one.parts) for one in merges), "object")
    verb = "to merge" if dry_run else "merged"
    line = Line(f"counts of pulls: {objects} {verb} into one a day, of {count(len(merges), 'day')}")
    return [line, *(Line((f"  ~ {key}", "yellow")) for one in merges if dry_run for key in one.keys)]


def garbage_summary(events: Sequence[Garbage | NotCollected | Outdated | Merge], *, dry_run: bool) -> str:
    """Counts what a garbage collection removed, e.g. `Removed 3 objects, 3.4 MiB.`"""
    garbage = [one for one in events if isinstance(one, Garbage)]
    objects = sum(one.objects for one in events if isinstance(one, Garbage | Outdated))
    size = sum(one.size for one in garbage)
    verb = "Would remove" if dry_run else "Removed"
    return f"{verb} {count(objects, 'object')}, {size_words(size)}." if objects else "Nothing to remove."


def garbage_document(events: Sequence[Garbage | NotCollected | Outdated | Merge], *, dry_run: bool) -> dict[str, Any]:
    """What a garbage collection removed as `schema/gc.schema.json` has it."""
    outdated = [one for one in events if isinstance(one, Outdated)]
    merges = [one for one in events if isinstance(one, Merge)]
    return {
        "version": 1,
        "dry_run": dry_run,
        "garbage": [garbage_entry(one, keys=dry_run) for one in swept(events)],
        "index": {
            "versions": sum(len(one.roots) for one in outdated),
            "parts": sum(len(one.states) for one in outdated),
        },
        "counts": sum(len(one.counts) for one in outdated),
        "merged": {"days": len(merges), "objects": sum(len(one.parts) for one in merges)},
    }


def verification_text(found: Verification, *, color: bool = False, width: int = WIDE) -> str:
    """Every defect, a line each, then what could not be repaired, then the summary."""
    parts: list[Part] = []
    for defect in found.defects:
        sign, style = ("+", "green") if defect in found.repaired else ("!", "bold red")
        parts.append(Line((f"{sign} {defect.key}: {defect.kind}: {defect.detail}", style)))
    parts += [Line((f"! {one.target}: {one.name}: {one.error}", "bold red")) for one in found.unrepaired]
    if found.foreign:
        parts.append(Line((f"not ours, left alone: {', '.join(sorted(found.foreign))}", "dim")))
    return rendered([*parts, *([EMPTY] if parts else []), bold(_verified(found))], color=color, width=width)


def verification_markdown(found: Verification) -> str:
    """The same for the summary of a CI run."""
    rows = [
        f"| {'repaired' if one in found.repaired else ':x:'} | {escaped(one.key)} | {one.kind}: {escaped(one.detail)} |"
        for one in sorted(found.defects, key=found.repaired.__contains__)
    ]
    unrepaired = [f"- :x: {code(f'{one.target}: {one.name}')}: {escaped(one.error)}" for one in found.unrepaired]
    elsewhere = "`r2mirror verify` shows all of them"
    return fitted(
        (
            Block([f"**{_verified(found)}**"]),
            Block(rows, ("| | object | problem |", "| --- | --- | --- |"), elsewhere=elsewhere),
            Block(unrepaired, bullet="- ", elsewhere=elsewhere),
        )
    )


def _verified(found: Verification) -> str:
    if not found.repositories and not found.defects:
        return "Nothing to verify: no repository is mirrored yet."
    looked = f"{count(found.tags, 'tag')} in {count(found.repositories, 'repository', 'repositories')}"
    if not found.defects:
        return f"{looked}: all as the mirror index says."
    repaired = f", {len(found.repaired)} repaired" if found.repaired else ""
    return f"{looked}: {count(len(found.defects), 'problem')}{repaired}."


def verification_document(found: Verification) -> dict[str, Any]:
    """A verification as `schema/verify.schema.json` has it."""
    kinds = Counter(defect.kind for defect in found.open)
    return {
        "version": 1,
        "findings": [_defect_entry(defect, repaired=defect in found.repaired) for defect in found.defects],
        "unrepaired": [{"target": one.target, "reference": one.name, "error": one.error} for one in found.unrepaired],
        "foreign": sorted(found.foreign),
        "summary": {
            "repositories": found.repositories,
            "tags": found.tags,
            "repaired": len(found.repaired),
            "open": {kind.value: kinds[kind] for kind in DefectKind},
        },
    }


def survey_text(found: Survey, *, color: bool = False, width: int = WIDE) -> str:
    """What can be taken over, a line for each tag, and what is left as it is and why."""
    parts: list[Part] = []
    if found.damaged:
        parts += [Line((f"the mirror index is replaced: {found.damaged}", "yellow")), EMPTY]
    for one in found.adoptions:
        parts.append(Line((one.target, "bold"), f"  from {one.source}"))
        parts += [
            Line((f"  + {tag}  {state.digest.algorithm}:{state.digest.hex[:12]}", "green"))
            for tag, state in one.tags.items()
        ]
        parts += [Line((f"  ~ {key} is written again, from bytes that are there", "yellow")) for key in one.fixes]
        parts += [
            Line((f"  = {tag}: {why}", "dim"))
            if why == NOT_CHOSEN
            else Line((f"  ! {tag}: {why}; an apply copies what is missing", "red"))
            for tag, why in one.refused.items()
        ]
        if one.retired:
            digests = count(len(one.retired), "digest")
            parts.append(Line((f"    {digests} without a tag, kept for as long as `retain` says", "dim")))
        parts.append(EMPTY)
    for target, owner in found.claimed.items():
        before = f", belongs to {owner} now" if owner else ""
        parts.append(Line((f"  = {target} is given to {found.name}{before}", "yellow")))
    if found.claimed:
        parts.append(EMPTY)
    if found.foreign:
        parts += [Line((f"not in mirrors.yaml, left alone: {', '.join(found.foreign)}", "dim")), EMPTY]
    return rendered([*parts, bold(survey_summary(found))], color=color, width=width)


def survey_summary(found: Survey) -> str:
    """Counts what can be taken over, e.g. `Adopt: 12 tags in 2 repositories, 3 objects written again.`"""
    tags = sum(len(one.tags) for one in found.adoptions)
    fixes = sum(len(one.fixes) for one in found.adoptions)
    reasons = [why for one in found.adoptions for why in one.refused.values()]
    alone = reasons.count(NOT_CHOSEN)
    left = f"; {count(len(reasons) - alone, 'tag')} left for an apply" if len(reasons) > alone else ""
    left += f"; {count(alone, 'tag')} left alone" if alone else ""
    if not found.has_changes:
        return f"Nothing to adopt{left}."
    repositories = sum(bool(one.tags) for one in found.adoptions)
    words = f"{count(tags, 'tag')} in {count(repositories, 'repository', 'repositories')}"
    given = (
        f"; {count(len(found.claimed), 'repository', 'repositories')} given to {found.name}" if found.claimed else ""
    )
    return f"Adopt: {words}, {count(fixes, 'object')} written again{given}{left}."


def survey_document(found: Survey, failures: Sequence[str], *, dry_run: bool) -> dict[str, Any]:
    """A survey, and what became of it, as `schema/adopt.schema.json` has it."""
    return {
        "version": 1,
        "dry_run": dry_run,
        "index": {"serial": found.observed.index.serial, "damaged": found.damaged},
        "repositories": [_adoption_entry(one) for one in found.adoptions],
        "claimed": [{"target": target, "owner": owner} for target, owner in found.claimed.items()],
        "foreign": list(found.foreign),
        "failures": list(failures),
    }


def _defect_entry(defect: Defect, *, repaired: bool) -> dict[str, Any]:
    return {
        "target": defect.target,
        "key": defect.key,
        "problem": defect.kind.value,
        "detail": defect.detail,
        "repaired": repaired,
    }


def _adoption_entry(one: Adoption) -> dict[str, Any]:
    return {
        "target": one.target,
        "source": one.source,
        "adopted": [
            {"tag": tag, "digest": str(state.digest), "platforms": platforms_document(state.platforms)}
            for tag, state in one.tags.items()
        ],
        "rewritten": list(one.fixes),
        "retired": sorted(str(digest) for digest in one.retired),
        "refused": [{"tag": tag, "reason": why} for tag, why in one.refused.items()],
    }


VERIFICATION: View[Verification] = View(
    verification_text,
    verification_document,
    verification_markdown,
    lambda found: bool(found.defects or found.unrepaired),
)


def garbage_view(*, dry_run: bool) -> View[Sequence[Garbage | NotCollected | Outdated | Merge]]:
    """The formats of a garbage collection."""
    return View(
        partial(garbage_text, dry_run=dry_run), partial(garbage_document, dry_run=dry_run), is_news=_is_garbage_news
    )


def survey_view(failures: Sequence[str], *, dry_run: bool) -> View[Survey]:
    """The formats of a survey and what became of it."""
    return View(
        survey_text,
        partial(survey_document, failures=failures, dry_run=dry_run),
        is_news=lambda found: bool(
            failures or found.has_changes or found.damaged or any(one.refused for one in found.adoptions)
        ),
    )


def _is_garbage_news(events: Sequence[Garbage | NotCollected | Outdated | Merge]) -> bool:
    return any(one.objects if isinstance(one, Garbage | Outdated) else isinstance(one, NotCollected) for one in events)
