"""What a mirror's repository should hold, from what its source answered and what the index says. Pure.

All policy is here: what is kept although nothing chooses it, and why. The diff after it is set algebra, and whatever is
not named here as unwanted cannot be pruned.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from reconciler.errors import SourceError
from reconciler.oci import Descriptor, Digest, Platform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.index import RepositoryState
    from reconciler.mirrors import Mirror
    from reconciler.selection import Tally
    from reconciler.signatures.signers import Knowledge, Refused


CUT_OFF = "an apply began this and has not recorded it"
"""Why a tag that is pending changes, although nothing else says so.

One that the index has is published again as the index has it. One that it does not have was never reported as done, and
goes even where `prune` is false.
"""


@dataclass(frozen=True)
class Desired:
    """One repository as it should be.

    wanted     tag -> what it should point at
    kept       tag -> why it stays as the index has it
    unwanted   tag -> why it goes
    errors     what failed; where anything did, `unwanted` is empty
    referrers  whether what is attached to an image comes along
    news       tag -> what its image has attached now, although the digest is the same
    known      what is known of the signatures of digests that have to be signed
    refused    tags that would change if their images were signed as they have to be
    warnings   what should be looked at, although nothing failed
    tallies    how many tags each pattern chooses; none where the source could not be listed
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


def desire(
    mirror: Mirror,
    observed: RepositoryState,
    listed: frozenset[str] | None,
    answers: Mapping[str, Descriptor | SourceError],
    news: Mapping[str, str] = MappingProxyType({}),
) -> Desired:
    """The repository of one mirror whose source could be listed (`listed` None: no pattern needed the list).

    `answers` has an entry for every chosen tag: what the source says that it points at, or why it could not say. `news`
    says of some of them what is attached that was not, in words.
    """
    failures = {tag: answer for tag, answer in answers.items() if isinstance(answer, SourceError)}
    wanted = {tag: answer for tag, answer in answers.items() if isinstance(answer, Descriptor)}
    # A login that was refused is one error, however many tags were asked for with it.
    errors = tuple(dict.fromkeys(str(error) for _, error in sorted(failures.items())))
    kept = {tag: "the source failed" for tag in failures if tag in observed.tags}
    unwanted = {}
    for tag in (observed.tags.keys() | observed.pending) - answers.keys():
        recorded = observed.tags.get(tag)
        if recorded and not mirror.prune and (errors or tag not in observed.pending):
            kept[tag] = "prune: false"
        elif errors:
            kept[tag] = "something else in this repository failed"
        elif recorded and mirror.prune:
            unwanted[tag] = _why_unwanted(tag, listed)
        elif recorded:
            wanted[tag] = recorded.descriptor
        else:
            unwanted[tag] = CUT_OFF
    return Desired(
        mirror.target, mirror.source, mirror.platforms, wanted, kept, unwanted, errors, mirror.referrers, news
    )


def desire_unchanged(mirror: Mirror, observed: RepositoryState, error: str) -> Desired:
    """The repository of a mirror whose source could not be listed: nothing is known, so everything stays."""
    kept = dict.fromkeys(observed.tags, "the source failed")
    return Desired(mirror.target, mirror.source, mirror.platforms, {}, kept, {}, (error,))


def desire_nothing(target: str, observed: RepositoryState, moved_to: str | None = None, *, prune: bool) -> Desired:
    """A repository of the index that mirrors.yaml does not name any more, or names `moved_to` now."""
    left = dict.fromkeys(observed.pending - observed.tags.keys(), CUT_OFF)
    if prune:
        why = f"moved to {moved_to} in mirrors.yaml" if moved_to else "no longer in mirrors.yaml"
        unwanted = {**dict.fromkeys(observed.tags, why), **left}
        return Desired(target, observed.source, None, {}, {}, unwanted)
    unsettled = {tag: observed.tags[tag].descriptor for tag in observed.tags if tag in observed.pending}
    kept = dict.fromkeys(observed.tags.keys() - unsettled.keys(), "prune: false")
    return Desired(target, observed.source, None, unsettled, kept, left)


def _why_unwanted(tag: str, listed: frozenset[str] | None) -> str:
    if listed is not None and tag not in listed:
        return "no longer at the source"
    return "no pattern chooses it any more"
