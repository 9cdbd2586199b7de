"""Decides what a mirror's repository should hold, from its source's answers and the mirror index. Pure.

All policy is here, e.g. which tags are kept although nothing chooses them, and why. The diff that follows is set
algebra: it prunes exactly the tags that are unwanted here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from reconciler.errors import NotFound, SourceError, Unsupported
from reconciler.mirrors.patterns import Pinned
from reconciler.oci.spec import Descriptor, Digest, Platform
from reconciler.target.index import LeftOut

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror
    from reconciler.mirrors.selection import Tally
    from reconciler.signatures.signers import Knowledge, Refused
    from reconciler.target.index import RepositoryState


CUT_OFF = "an apply began this and has not recorded it"
"""The reason of a change to a pending tag that nothing else changes.

A tag that the index has is published again as the index has it. A tag that the index does not have was never reported
as done, and is removed even if `prune` is false.
"""


GONE = "gone at the source"
NO_MANIFEST = "the source lists it, but has no manifest for it"


@dataclass(frozen=True)
class Desired:
    """One repository as it should be.

    wanted     tag -> what it should point to
    kept       tag -> why it stays as the index has it
    unwanted   tag -> why it is removed
    errors     what failed; if anything did, `unwanted` is empty
    referrers  whether what is attached to an image is mirrored with it
    news       tag -> what its image has attached now, although the digest is the same
    known      what is known of the signatures of digests that have to be signed
    refused    tags that would change if their images were signed as required
    warnings   what deserves a look, although nothing failed
    tallies    how many tags each pattern chooses; none if the source could not be listed
    gone       tag that stays -> since when the source no longer has it; None: not known
    left_out   tag that a pattern chooses -> why it cannot be mirrored as asked; None: not known
    """

    target: str
    source: str
    platforms: tuple[Platform, ...] | None
    wanted: Mapping[str, Descriptor]
    kept: Mapping[str, str]
    unwanted: Mapping[str, str]
    errors: tuple[str, ...] = ()
    referrers: bool = False
    news: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    known: Mapping[Digest, Knowledge] = field(default_factory=dict)
    refused: tuple[Refused, ...] = ()
    warnings: tuple[str, ...] = ()
    tallies: tuple[Tally, ...] = ()
    gone: Mapping[str, datetime] | None = None
    left_out: Mapping[str, LeftOut] | None = None


@dataclass(frozen=True)
class _Answered:
    """The chosen tags, by what the source's answers mean for them."""

    wanted: dict[str, Descriptor]
    gone: frozenset[str]
    left_out: dict[str, LeftOut]
    failures: dict[str, SourceError]


def desire(
    mirror: Mirror,
    observed: RepositoryState,
    answers: Mapping[str, Descriptor | SourceError],
    *,
    now: datetime,
    still: frozenset[str] = frozenset(),
    failed: Mapping[str, SourceError] = MappingProxyType({}),
    news: Mapping[str, str] = MappingProxyType({}),
) -> Desired:
    """Returns the repository of one mirror whose source answered.

    answers  what every chosen tag points to at the source, or why that is not known
    still    mirrored tags that are no longer listed, and that the patterns would choose if they were
    failed   chosen tags of which something else could not be read
    news     what is newly attached to images of mirrored tags, in words
    """
    answered = _answered(mirror, observed, answers, failed)
    still = still - answers.keys()
    gone = answered.gone | still
    failures, wanted = answered.failures, answered.wanted
    # A refused login is one error, however many tags it concerns.
    errors = tuple(dict.fromkeys(str(error) for _, error in sorted(failures.items())))
    kept = {tag: "the source failed" for tag in failures if tag in observed.tags}
    unwanted = {}
    for tag in (observed.tags.keys() | observed.pending) - wanted.keys() - failures.keys():
        recorded = observed.tags.get(tag)
        stays = recorded and _why_kept(mirror, tag, answered, still)
        if stays and (errors or tag not in observed.pending):
            kept[tag] = stays
        elif errors:
            kept[tag] = "something else in this repository failed"
        elif recorded and not stays:
            unwanted[tag] = "no longer at the source" if tag in still else "no pattern chooses it any more"
        elif recorded:
            wanted[tag] = recorded.descriptor
        else:
            unwanted[tag] = CUT_OFF
    return Desired(
        mirror.target,
        mirror.source,
        mirror.platforms,
        wanted,
        kept,
        unwanted,
        errors,
        mirror.referrers,
        news,
        warnings=_warnings(mirror, answered.gone),
        gone={tag: observed.gone.get(tag, now) for tag in sorted(gone - unwanted.keys())},
        left_out=answered.left_out,
    )


def _answered(
    mirror: Mirror,
    observed: RepositoryState,
    answers: Mapping[str, Descriptor | SourceError],
    failed: Mapping[str, SourceError],
) -> _Answered:
    """Absent tags and those that cannot be mirrored are failures only if they are named and not mirrored yet."""
    named = mirror.named
    wanted: dict[str, Descriptor] = {}
    gone: set[str] = set()
    left_out: dict[str, LeftOut] = {}
    failures = dict(failed)
    for tag, answer in answers.items():
        known = observed.left_out.get(tag)
        if tag in failed:
            continue
        if isinstance(answer, Descriptor):
            if known and tag not in named and (known.digest, known.platforms) == (answer.digest, mirror.platforms):
                left_out[tag] = known
            else:
                wanted[tag] = answer
        elif isinstance(answer, NotFound) and _was_there(mirror, observed, tag):
            gone.add(tag)
        elif isinstance(answer, NotFound | Unsupported) and tag not in named:
            left_out[tag] = LeftOut(None, NO_MANIFEST if isinstance(answer, NotFound) else answer.why)
        else:
            failures[tag] = answer
    return _Answered(wanted, frozenset(gone), left_out, failures)


def _was_there(mirror: Mirror, observed: RepositoryState, tag: str) -> bool:
    """Whether the tag is mirrored from this very source, so that it is gone there rather than mistyped."""
    recorded, pattern = observed.tags.get(tag), mirror.named.get(tag)
    if recorded is None or observed.source != mirror.source or mirror.when_gone != "keep":
        return False
    return not isinstance(pattern, Pinned) or pattern.digest == recorded.digest


def _why_kept(mirror: Mirror, tag: str, answered: _Answered, still: frozenset[str]) -> str | None:
    """Why a mirrored tag that is not wanted stays, None if it is removed."""
    if tag in answered.gone or (tag in still and mirror.when_gone == "keep"):
        return GONE
    if tag in answered.left_out:
        return "what it points at now cannot be mirrored as asked"
    return None if mirror.prune else "prune: false"


def _warnings(mirror: Mirror, gone: frozenset[str]) -> tuple[str, ...]:
    return tuple(
        f"{tag} is named in mirrors.yaml and {GONE}; what is mirrored of it is kept"
        for tag in sorted(gone & mirror.named.keys())
    )


def desire_unchanged(mirror: Mirror, observed: RepositoryState, error: str) -> Desired:
    """Returns the repository of a mirror whose source could not be listed: nothing is known, so everything stays."""
    kept = dict.fromkeys(observed.tags, "the source failed")
    return Desired(mirror.target, mirror.source, mirror.platforms, {}, kept, {}, (error,))


def desire_nothing(target: str, observed: RepositoryState, moved_to: str | None = None, *, prune: bool) -> Desired:
    """Returns a repository of the index that mirrors.yaml no longer names, or now names `moved_to`."""
    left = dict.fromkeys(observed.pending - observed.tags.keys(), CUT_OFF)
    if prune:
        why = f"moved to {moved_to} in mirrors.yaml" if moved_to else "no longer in mirrors.yaml"
        unwanted = {**dict.fromkeys(observed.tags, why), **left}
        return Desired(target, observed.source, None, {}, {}, unwanted)
    unsettled = {tag: observed.tags[tag].descriptor for tag in observed.tags if tag in observed.pending}
    kept = dict.fromkeys(observed.tags.keys() - unsettled.keys(), "prune: false")
    return Desired(target, observed.source, None, unsettled, kept, left)
