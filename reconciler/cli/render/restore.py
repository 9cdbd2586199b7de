"""What a restore does, and which tags a release lets go."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from reconciler.cli.render.formats import View
from reconciler.cli.render.sheet import EMPTY, WIDE, Line, bold, rendered
from reconciler.mirrors.versions import in_order
from reconciler.signatures.signers import Unchecked, knowledge_document
from reconciler.words import count

if TYPE_CHECKING:
    from reconciler.cli.render.sheet import Part
    from reconciler.signatures.signers import Knowledge
    from reconciler.upkeep.restore import Released, Restoration, Step


def restoration_text(found: Restoration, *, dry_run: bool, color: bool = False, width: int = WIDE) -> str:
    """A line for each tag with the digests before and after, then those that are left alone, then the summary."""
    parts: list[Part] = [_line(step) for step in sorted(found.steps, key=_place)]
    parts += [Line((f"! {one.target}:{one.tag} is not restored: {one.why}", "bold red")) for one in found.refused]
    summary = bold(restoration_summary(found, dry_run=dry_run))
    return rendered([*parts, *([EMPTY] if parts else []), summary], color=color, width=width)


def restoration_summary(found: Restoration, *, dry_run: bool) -> str:
    """Counts the tags, e.g. `Restored 3 tags; they are held until r2mirror release.`"""
    refused = f" {count(len(found.refused), 'tag')} left alone." if found.refused else ""
    if not found.steps:
        return f"Nothing to restore.{refused}"
    verb = "Would restore" if dry_run else "Restored"
    number = len(found.steps)
    held = f"; {'it is' if number == 1 else 'they are'} held until `r2mirror release`"
    return f"{verb} {count(number, 'tag')}{'' if dry_run else held}.{refused}"


def _line(step: Step) -> Line:
    digests = f"{step.before or 'removed'} -> {step.after or 'removed'}"
    known = f", {_signature(step.signature)}" if step.signature else ""
    return Line((f"< {step.target}:{step.tag}", "cyan"), f" {digests}  {step.reason}{known}")


def _signature(known: Knowledge) -> str:
    return f"signature not verified: {known.why}" if isinstance(known, Unchecked) else str(known)


def _place(step: Step) -> tuple[Any, ...]:
    return step.target, in_order(step.tag)


def restoration_document(found: Restoration, *, dry_run: bool) -> dict[str, Any]:
    """A restore as `schema/restore.schema.json` has it."""
    return {
        "version": 1,
        "dry_run": dry_run,
        "restored": [_entry(step) for step in sorted(found.steps, key=_place)],
        "refused": [{"target": one.target, "tag": one.tag, "reason": one.why} for one in found.refused],
    }


def _entry(step: Step) -> dict[str, Any]:
    return {
        "target": step.target,
        "tag": step.tag,
        "before": str(step.before) if step.before else None,
        "after": str(step.after) if step.after else None,
        "reason": step.reason,
        **({"signature": knowledge_document(step.signature)} if step.signature else {}),
    }


def restoration_view(*, dry_run: bool) -> View[Restoration]:
    """The formats of a restore."""
    return View(
        partial(restoration_text, dry_run=dry_run),
        partial(restoration_document, dry_run=dry_run),
        is_news=lambda found: bool(found.steps or found.refused),
    )


def release_text(found: Sequence[Released], *, color: bool = False, width: int = WIDE) -> str:
    """A line for each tag that was released."""
    parts = [Line(f"{one.target}:{one.tag} is no longer held at {one.hold.digest or 'nothing'}") for one in found]
    return rendered(parts, color=color, width=width)


def release_document(found: Sequence[Released]) -> dict[str, Any]:
    """A release as `schema/release.schema.json` has it."""
    entries = [
        {"target": one.target, "tag": one.tag, "digest": str(one.hold.digest) if one.hold.digest else None}
        for one in found
    ]
    return {"version": 1, "released": entries}


RELEASE: View[Sequence[Released]] = View(release_text, release_document)
