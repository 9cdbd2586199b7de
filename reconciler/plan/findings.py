"""What the source of one mirror answered, and what that means for its repository. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import SourceError
from reconciler.frozen import Frozen
from reconciler.mirrors.selection import Tally, select
from reconciler.oci.referrers import ListedAttachments, is_attachment_tag, news
from reconciler.oci.spec import Descriptor, Digest
from reconciler.plan.ages import NO_AGES, Ages
from reconciler.plan.draft import Draft, draft
from reconciler.plan.names import source_tags
from reconciler.plan.owners import conflict
from reconciler.sources import NO_PROVENANCE, Provenance

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror
    from reconciler.target.index import RepositoryState

Listed: TypeAlias = tuple[str, ...] | SourceError
"""A source's tag list, or why there is none."""

Resolved: TypeAlias = Descriptor | SourceError
"""What a tag points to at its source, or why that is not known."""


FALLEN_BACK = (
    "the source {} fails: tags that it may decide stay as they are, new ones come from the other sources, and nothing "
    "is pruned; first: {}"
)


class Findings(Frozen):
    """What is known about one mirror before anything is decided.

    observed     its repository in the mirror index, an empty one if there is none
    listed       its source's tag list, None if nothing needed it
    resolved     what each chosen tag points to
    attachments  what is attached now to digests that are mirrored already
    tallies      what each of its patterns chooses
    warnings     about patterns that choose nothing
    ages         which of their digests are old enough
    passing      listed tags that take no place, since they wait or would
    names        chosen tag -> its name at the source; None: the same
    provenance   which of several sources answered
    """

    mirror: Mirror
    observed: RepositoryState
    listed: Listed | None
    resolved: Mapping[str, Resolved]
    attachments: Mapping[Digest, ListedAttachments | SourceError]
    tallies: tuple[Tally, ...] = ()
    warnings: tuple[str, ...] = ()
    ages: Ages = NO_AGES
    passing: frozenset[str] = frozenset()
    names: Mapping[str, str | None] = field(default_factory=dict)
    provenance: Provenance = NO_PROVENANCE


def draft_of(found: Findings, name: str) -> Draft:
    """Returns what the findings mean for each tag of the repository; `name`: that of the mirrors file."""
    clash = conflict(found.mirror.target, found.observed, name)
    if clash:
        return Draft(found.mirror, found.observed, blocked=clash)
    blocked = _why_blocked(found)
    made = _blocked(found, blocked) if blocked else _draft(found)
    warnings = (*made.warnings, *found.warnings, *_refusals(found.attachments), *_failures(found))
    return replace(made, tallies=found.tallies, warnings=warnings, provenance=found.provenance)


def _failures(found: Findings) -> Iterator[str]:
    """Warns of sources that failed while others answered; if none did, that is an error."""
    if not isinstance(found.listed, SourceError):
        for name, error in found.provenance.failed.items():
            yield FALLEN_BACK.format(name, error)


def _blocked(found: Findings, why: str) -> Draft:
    reason = found.listed.reason if isinstance(found.listed, SourceError) else SourceError.reason
    held = found.observed.holds(found.mirror.entry)
    return Draft(found.mirror, found.observed, blocked=why, held=held, blocked_by=reason)


def _why_blocked(found: Findings) -> str | None:
    """Why the tag list of the source is not to be relied on, None if it is."""
    mirror, mirrored = found.mirror, found.observed.tags
    if isinstance(found.listed, SourceError):
        return str(found.listed)
    # A registry that has lost its database, or hides a repository from a login, lists nothing too.
    if found.listed == () and mirrored:
        return (
            f"{mirror.source}: lists no tags at all, but {len(mirrored)} are mirrored; nothing is removed. If the "
            "repository really is empty now, take the mirror out of mirrors.yaml"
        )
    return None


def _draft(found: Findings) -> Draft:
    mirror, observed, listed = found.mirror, found.observed, found.listed
    attached, failed = _news(found) if mirror.referrers else ({}, {})
    still = _still_chosen(mirror, observed, listed, found.passing) if isinstance(listed, tuple) else frozenset[str]()
    failed = {**failed, **found.ages.failures(mirror)}
    attached = {**_renamed(found), **attached}
    made = draft(mirror, observed, found.resolved, still=still, failed=failed, news=attached)
    return replace(made, names=found.names, ages=found.ages, warnings=(*made.warnings, *found.ages.warnings(mirror)))


def choosable(mirror: Mirror, listed: tuple[str, ...], observed: Callable[[], RepositoryState]) -> tuple[str, ...]:
    """Returns the listed tags that a pattern may choose.

    Tags of signatures are not among them if they come along with their images, or if images have to be signed. One that
    a pattern chose before its mirror had `referrers` stays a tag of its own: that edit prunes nothing. `observed` is
    called only if the answer depends on the mirror index.
    """
    attachments = {tag for tag in listed if is_attachment_tag(tag)}
    if not attachments or not (mirror.referrers or mirror.signed_by):
        return listed
    own = frozenset[str]() if mirror.signed_by else observed().own_tags
    passed_over = {one for one in attachments if mirror.name_of(one) not in own}
    return tuple(tag for tag in listed if tag not in passed_over)


def is_there(observed: RepositoryState, tag: str, wanted: Descriptor) -> bool:
    """Returns whether the tag is mirrored and points to this digest."""
    return tag in observed.tags and observed.tags[tag].digest == wanted.digest


def _news(found: Findings) -> tuple[dict[str, str], dict[str, SourceError]]:
    """What is newly attached to the images of tags, in words, by tag; and by tag why that is not known."""
    observed = found.observed
    news_of: dict[str, str] = {}
    failed: dict[str, SourceError] = {}
    for tag, one in found.resolved.items():
        if isinstance(one, SourceError) or not is_there(observed, tag, one):
            continue
        record = observed.attachments.get(one.digest)
        # An older release, or an apply without `referrers`, has copied the image alone.
        if record is None:
            news_of[tag] = "referrers: not checked yet"
            continue
        theirs = {subject: found.attachments[subject] for subject in record if subject in found.attachments}
        errors = [answer for answer in theirs.values() if isinstance(answer, SourceError)]
        count = news(record, {s: a for s, a in theirs.items() if isinstance(a, ListedAttachments)}, observed.tags)
        if errors:
            failed[tag] = errors[0]
        elif count:
            news_of[tag] = f"referrers: + {count}"
    return news_of, failed


def _renamed(found: Findings) -> dict[str, str]:
    """The mirrored tags that come from another tag of the source than the mirror index has, although the digest is the
    same: it is to know the new one."""
    observed, words = found.observed, {}
    for tag, one in found.resolved.items():
        if not isinstance(one, SourceError) and is_there(observed, tag, one):
            before, after = observed.tags[tag].source_tag, found.names.get(tag)
            # A tag that waits is not resolved anew under its new name.
            if before != after and tag not in found.ages.tags:
                words[tag] = f"source tag: {before or tag} -> {after or tag}"
    return words


def _refusals(attachments: Mapping[Digest, ListedAttachments | SourceError]) -> tuple[str, ...]:
    """Why the source does not list what is attached, once for all digests."""
    return tuple(
        dict.fromkeys(one.refusal for one in attachments.values() if isinstance(one, ListedAttachments) and one.refusal)
    )


def _still_chosen(
    mirror: Mirror, observed: RepositoryState, listed: tuple[str, ...], passing: frozenset[str]
) -> frozenset[str]:
    """The mirrored tags that are no longer listed, and that would be chosen if they were listed with the others.

    A tag that was deleted at the source is among them. One that is no longer among the newest is not: it would be
    removed anyway. The listed tags are chosen without these, which therefore take no listed tag's place.
    """
    names = source_tags(mirror, observed)
    lost = set(names.values()) - set(listed)
    if not lost:
        return frozenset()
    # `immutable` decides only what is resolved again, and nothing is resolved here.
    among = choosable(mirror, (*listed, *lost), lambda: observed)
    selection = select(mirror.tags, mirror.exclude, (), among, passing)
    chosen = {one.tag for one in selection.chosen} & lost
    return frozenset(tag for tag, source_tag in names.items() if source_tag in chosen)
