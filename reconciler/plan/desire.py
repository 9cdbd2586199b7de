"""Decides what a repository should hold, from its draft. Pure.

Together with `draft` this is all the policy, e.g. which tags are kept although no pattern chooses them, and why. The
diff that follows is set algebra: it prunes exactly the tags that are unwanted here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.oci.spec import Descriptor, Digest, Platform
from reconciler.plan.ages import NO_AGES, Ages
from reconciler.plan.draft import HELD

if TYPE_CHECKING:
    from reconciler.mirrors.model import Failed
    from reconciler.mirrors.selection import Tally
    from reconciler.plan.draft import Draft
    from reconciler.signatures.signers import Knowledge, Refused
    from reconciler.target.index import Held, LeftOut, RepositoryState


CUT_OFF = "an apply began this and has not recorded it"
"""The reason of a change to a pending tag that nothing else changes.

A tag that the index has is published again as the index has it. A tag that the index does not have was never reported
as done, and is removed even if `prune` is false.
"""


class Desired(Frozen):
    """One repository as it should be.

    wanted     tag -> what it should point to
    kept       tag -> why it stays as the index has it
    unwanted   tag -> why it is removed
    errors     what failed; if anything did, `unwanted` is empty
    referrers  whether what is attached to an image is mirrored with it
    news       tag -> what its image has attached now, although the digest is the same
    known      what is known of the signatures of digests that have to be signed
    refused    tags that would change if their images were signed as required
    warnings   what deserves attention, although nothing failed
    tallies    how many tags each pattern chooses; none if the source could not be listed
    gone       tag that stays -> since when the source no longer has it; None: not known
    left_out   tag that a pattern chooses -> why it cannot be mirrored as configured; None: not known
    held       tags that stay as a restore has left them
    released   holds that an edit of mirrors.yaml has ended
    ages       which digests are not old enough to be published
    referrer_types  globs of the artifact types of what is attached; empty: all
    reasons    those of the errors, of `errors.REASONS`, each once
    names      chosen tag -> its name at the source; None: the same
    served     tag -> the source that it comes from, if that is not the first one
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
    held: Mapping[str, Held] = field(default_factory=lambda: MappingProxyType({}))
    released: Mapping[str, Held] = field(default_factory=lambda: MappingProxyType({}))
    ages: Ages = NO_AGES
    referrer_types: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    names: Mapping[str, str | None] = field(default_factory=lambda: MappingProxyType({}))
    served: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def desire(draft: Draft, now: datetime) -> Desired:
    """Returns the repository of a mirror as it should be."""
    mirror, observed = draft.mirror, draft.observed
    if draft.blocked:
        return _as_it_is(draft, draft.blocked)
    wanted = draft.all_wanted
    kept, unwanted = _others(draft, wanted)
    return Desired(
        mirror.target,
        mirror.source,
        mirror.platforms,
        wanted,
        kept,
        unwanted,
        draft.errors,
        mirror.referrers,
        draft.news,
        draft.known,
        draft.refused,
        draft.warnings,
        draft.tallies,
        # A tag that is missed again keeps its first date, from which users see how long it has been gone.
        gone={tag: observed.gone.get(tag, now) for tag in sorted(draft.gone - unwanted.keys())},
        left_out=draft.left_out,
        held=draft.held,
        referrer_types=mirror.referrer_types,
        released=_released(observed, draft.held),
        ages=draft.ages,
        reasons=draft.reasons,
        names=draft.names,
        served=draft.provenance.served,
    )


def _as_it_is(draft: Draft, why: str) -> Desired:
    """The repository of a mirror of which nothing is known."""
    mirror, wanted = draft.mirror, draft.settling
    kept = dict.fromkeys(draft.observed.tags.keys() - wanted.keys(), "the source failed")
    return Desired(
        mirror.target,
        mirror.source,
        mirror.platforms,
        wanted,
        kept,
        {},
        (why,),
        warnings=draft.warnings,
        tallies=draft.tallies,
        held=draft.held,
        reasons=(draft.blocked_by,),
    )


def _released(observed: RepositoryState, held: Mapping[str, Held]) -> Mapping[str, Held]:
    return {tag: one for tag, one in observed.held.items() if tag not in held}


def _others(draft: Draft, wanted: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Why each tag of the index that is not wanted stays, and why each of the others is removed."""
    recorded = draft.observed.tags
    kept = {tag: "the source failed" for tag in draft.failures if tag in recorded}
    unwanted = {}
    for tag in (recorded.keys() | draft.observed.pending) - set(wanted) - draft.failures.keys():
        stays = draft.why_kept(tag)
        if stays:
            kept[tag] = stays
        elif tag not in recorded:
            unwanted[tag] = CUT_OFF
        else:
            unwanted[tag] = "no longer at the source" if tag in draft.gone else "no pattern chooses it any more"
    return kept, unwanted


def desire_nothing(target: str, observed: RepositoryState, moved_to: str | None = None, *, prune: bool) -> Desired:
    """Returns a repository of the index that mirrors.yaml no longer names, or now names `moved_to`."""
    left = dict.fromkeys(observed.pending - observed.tags.keys(), CUT_OFF)
    forgotten = Ages(sightings={} if observed.seen else None)
    held = observed.holds(None)
    staying = observed.tags.keys() & held.keys() if prune else observed.tags.keys()
    why = f"moved to {moved_to} in mirrors.yaml" if moved_to else "no longer in mirrors.yaml"
    unwanted = {**dict.fromkeys(observed.tags.keys() - staying, why), **left}
    # What is under a pending tag is not known: it is published again, although nothing chooses it.
    unsettled = {tag: observed.tags[tag].descriptor for tag in staying if tag in observed.pending}
    kept = {tag: HELD if tag in held else "prune: false" for tag in staying - unsettled.keys()}
    released = _released(observed, held)
    return Desired(
        target, observed.source, None, unsettled, kept, unwanted, held=held, released=released, ages=forgotten
    )


def desire_no_more(failed: Failed) -> Desired:
    """Returns what is wanted of a namespace that could not be listed, beside its known repositories: nothing."""
    one = failed.namespace
    return Desired(one.target, one.source, one.platforms, {}, {}, {}, (failed.why,), reasons=(failed.reason,))
