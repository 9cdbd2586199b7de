"""What is known about one mirror once its source was asked, and what that means for its repository. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import SourceError
from reconciler.mirrors.selection import Tally, select
from reconciler.oci.referrers import ListedAttachments, is_attachment_tag, news
from reconciler.oci.spec import Descriptor, Digest
from reconciler.plan.desire import Desired, desire, desire_unchanged
from reconciler.plan.owners import conflict

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror
    from reconciler.target.index import RepositoryState

Listed: TypeAlias = tuple[str, ...] | SourceError
"""A source's tag list, or why there is none."""

Resolved: TypeAlias = Descriptor | SourceError
"""What a tag points to at its source, or why that is not known."""


@dataclass(frozen=True)
class Findings:
    """What is known about one mirror before anything is decided.

    observed     its repository in the mirror index, an empty one if there is none
    listed       its source's tag list, None if nothing needed it
    resolved     what each chosen tag points to
    attachments  what is attached now to digests that are mirrored already
    tallies      what each of its patterns chooses
    warnings     about patterns that choose nothing
    """

    mirror: Mirror
    observed: RepositoryState
    listed: Listed | None
    resolved: Mapping[str, Resolved]
    attachments: Mapping[Digest, ListedAttachments | SourceError]
    tallies: tuple[Tally, ...] = ()
    warnings: tuple[str, ...] = ()


def judge(
    found: Findings, name: str, now: datetime, refused: Mapping[str, SourceError] = MappingProxyType({})
) -> Desired:
    """Decides what the repository should hold.

    name     that of the mirrors file
    refused  chosen tags whose images must not be published, and why
    """
    mirror, observed = found.mirror, found.observed
    clash = conflict(mirror.target, observed, name)
    if clash:
        return desire_unchanged(mirror, observed, clash)
    desired = _judge(found, now, refused)
    warnings = (*desired.warnings, *found.warnings, *_refusals(found.attachments))
    return replace(desired, tallies=found.tallies, warnings=warnings)


def _judge(found: Findings, now: datetime, refused: Mapping[str, SourceError]) -> Desired:
    mirror, observed, listed = found.mirror, found.observed, found.listed
    if isinstance(listed, SourceError):
        return desire_unchanged(mirror, observed, str(listed))
    if listed == () and observed.tags:
        return desire_unchanged(
            mirror,
            observed,
            f"{mirror.source}: lists no tags at all, but {len(observed.tags)} are mirrored; nothing is removed. If the "
            "repository really is empty now, take the mirror out of mirrors.yaml",
        )
    told, failed = _news(found) if mirror.referrers else ({}, {})
    return desire(
        mirror,
        observed,
        found.resolved,
        now=now,
        still=frozenset() if listed is None else _still_chosen(mirror, observed, listed),
        failed={**failed, **refused},
        news=told,
    )


def choosable(mirror: Mirror, listed: tuple[str, ...], observed: Callable[[], RepositoryState]) -> tuple[str, ...]:
    """Returns the listed tags that a pattern may choose.

    Tags of signatures are not among them if they come along with their images, or if images have to be signed. One that
    a pattern chose before its mirror had `referrers` stays a tag of its own: that edit prunes nothing. `observed` is
    called only if the answer depends on the mirror index.
    """
    attachments = {tag for tag in listed if is_attachment_tag(tag)}
    if not attachments or not (mirror.referrers or mirror.signed_by):
        return listed
    passed_over = attachments if mirror.signed_by else attachments - observed().own_tags
    return tuple(tag for tag in listed if tag not in passed_over)


def is_there(observed: RepositoryState, tag: str, wanted: Descriptor) -> bool:
    """Returns whether the tag is mirrored and points to this digest."""
    return tag in observed.tags and observed.tags[tag].digest == wanted.digest


def _news(found: Findings) -> tuple[dict[str, str], dict[str, SourceError]]:
    """Tag -> what is attached that was not, in words; and tag -> why that is not known."""
    observed = found.observed
    told: dict[str, str] = {}
    failed: dict[str, SourceError] = {}
    for tag, one in found.resolved.items():
        if isinstance(one, SourceError) or not is_there(observed, tag, one):
            continue
        record = observed.attachments.get(one.digest)
        if record is None:
            told[tag] = "referrers: not checked yet"
            continue
        theirs = {subject: found.attachments[subject] for subject in record if subject in found.attachments}
        errors = [answer for answer in theirs.values() if isinstance(answer, SourceError)]
        count = news(record, {s: a for s, a in theirs.items() if isinstance(a, ListedAttachments)}, observed.tags)
        if errors:
            failed[tag] = errors[0]
        elif count:
            told[tag] = f"referrers: + {count}"
    return told, failed


def _refusals(attachments: Mapping[Digest, ListedAttachments | SourceError]) -> tuple[str, ...]:
    """Why the source does not list what is attached, said once for all digests."""
    return tuple(
        dict.fromkeys(one.refusal for one in attachments.values() if isinstance(one, ListedAttachments) and one.refusal)
    )


def _still_chosen(mirror: Mirror, observed: RepositoryState, listed: tuple[str, ...]) -> frozenset[str]:
    """The mirrored tags that are no longer listed, and that would be chosen if they were listed with the others.

    A tag that was deleted at the source is among them. One that is no longer among the newest is not: it goes as it
    would have anyway. The tags that are listed are chosen without these: they take no other tag's place.
    """
    lost = observed.tags.keys() - set(listed)
    if not lost:
        return frozenset()
    selection = select(mirror.tags, mirror.exclude, (), choosable(mirror, (*listed, *lost), lambda: observed))
    return frozenset(one.tag for one in selection.chosen) & lost
