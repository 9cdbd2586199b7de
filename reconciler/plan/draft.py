"""Sorts the tags of a mirror by what its source's answers mean for them. Pure.

The draft is what is known before signatures are checked; `signatures` withholds images from it, and `desire` decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import NotFound, SignatureRefused, SourceError, Unsupported
from reconciler.frozen import Frozen
from reconciler.mirrors.patterns import Pinned
from reconciler.oci.spec import Descriptor, Digest
from reconciler.plan.ages import NO_AGES, Ages
from reconciler.sources import NO_PROVENANCE, Provenance
from reconciler.target.index import LeftOut

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror
    from reconciler.mirrors.selection import Tally
    from reconciler.signatures.signers import Knowledge, Refused
    from reconciler.target.index import Held, RepositoryState

GONE = "gone at the source"
NO_MANIFEST = "the source lists it, but has no manifest for it"

LOCKED_GONE = (
    "the source no longer has {}, which mirrors.lock has for this tag; lock what the source has now with "
    "`r2mirror lock --update {}`"
)

HELD = "held by restore"

MAX_NAMES = 5
"""How many tags a message names."""

_Meaning: TypeAlias = Descriptor | LeftOut | SourceError | None
"""What an answer means: the tag is wanted, left out, or failed; None: it is mirrored, and gone at the source."""


class Draft(Frozen):
    """What is known of a mirror and of its repository in the mirror index.

    wanted    tag -> what the source has under it
    gone      tags that the patterns choose, and that the source no longer has
    left_out  tag that only a pattern chooses -> why it cannot be mirrored as configured
    failures  tag -> why it is not known what it should be, or why it must not be published
    news      tag -> what its image has attached now, although the digest is the same
    blocked   why nothing can be decided, so that everything stays as it is
    known     what is known of the signatures of digests that have to be signed
    refused   tags of images that are not signed as required; they are among the failures
    warnings  what deserves attention, although nothing failed
    tallies   how many tags each pattern chooses; none if the source could not be listed
    held      tags that stay as a restore has left them; they are in none of the others
    ages      which digests are not old enough to be published
    names    chosen tag -> its name at the source; None: the same
    blocked_by  the reason of `blocked`, one of `errors.REASONS`
    provenance  which of several sources answered
    """

    mirror: Mirror
    observed: RepositoryState
    wanted: Mapping[str, Descriptor] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()
    left_out: Mapping[str, LeftOut] = field(default_factory=dict)
    failures: Mapping[str, SourceError] = field(default_factory=dict)
    news: Mapping[str, str] = field(default_factory=dict)
    blocked: str | None = None
    known: Mapping[Digest, Knowledge] = field(default_factory=dict)
    refused: tuple[Refused, ...] = ()
    warnings: tuple[str, ...] = ()
    tallies: tuple[Tally, ...] = ()
    held: Mapping[str, Held] = field(default_factory=dict)
    ages: Ages = NO_AGES
    blocked_by: str = "other"
    names: Mapping[str, str | None] = field(default_factory=dict)
    provenance: Provenance = NO_PROVENANCE

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons of the errors, each once, as metrics count them."""
        return tuple(sorted({one.reason for one in self.failures.values()}))

    @property
    def settling(self) -> dict[str, Descriptor]:
        """What held tags point to that are pending. The bucket has their images, whatever the source answers."""
        tags, unsettled = self.observed.tags, self.observed.pending - self.failures.keys()
        return {tag: tags[tag].descriptor for tag in self.held if tag in tags and tag in unsettled}

    @property
    def all_wanted(self) -> dict[str, Descriptor]:
        """What each tag should point to, including tags that stay and that an interrupted apply had begun to write.

        Those are published again as the index has them, since it is not known what their objects hold. In a
        repository where anything failed, nothing but the chosen tags is touched.
        """
        if self.failures:
            return {**self.wanted, **self.settling}
        tags, pending = self.observed.tags, self.observed.pending
        staying = (tag for tag in tags if tag in pending and tag not in self.wanted and self.why_kept(tag))
        return {**self.wanted, **{tag: tags[tag].descriptor for tag in staying}}

    @property
    def errors(self) -> tuple[str, ...]:
        """What failed. A refused login is one error, however many tags it concerns, and so are refused signatures."""
        # Sorted, so that two plans of the same state are the same text.
        failed = (str(error) for _, error in sorted(self.failures.items()) if not isinstance(error, SignatureRefused))
        errors = tuple(dict.fromkeys(failed))
        if not self.refused:
            return errors
        names = some_of([one.tag for one in self.refused])
        return (*errors, f"{self.mirror.source}: refused, since they are not signed as signed_by requires: {names}")

    def why_kept(self, tag: str) -> str | None:
        """Returns why a recorded or pending tag that is not wanted stays, None if it is removed."""
        if tag in self.observed.tags:
            if tag in self.held:
                return HELD
            if tag in self.gone and self.mirror.when_gone == "keep":
                return GONE
            if tag in self.left_out:
                return "what it points at now cannot be mirrored as asked"
            if not self.mirror.prune:
                return "prune: false"
        if self.provenance.failed:
            return "one of the sources failed"
        # Nothing is pruned beside a failure, which may be the reason why no pattern seems to choose the tag.
        return "something else in this repository failed" if self.failures else None


def draft(
    mirror: Mirror,
    observed: RepositoryState,
    answers: Mapping[str, Descriptor | SourceError],
    *,
    still: frozenset[str] = frozenset(),
    failed: Mapping[str, SourceError] = MappingProxyType({}),
    news: Mapping[str, str] = MappingProxyType({}),
) -> Draft:
    """Returns the draft of a mirror whose source answered.

    answers  what every chosen tag points to at the source, or why that is not known
    still    mirrored tags that are no longer listed, and that the patterns would choose if they were
    failed   chosen tags of which something else could not be read
    news     what is newly attached to images of mirrored tags, in words
    """
    held = observed.holds(mirror.entry)
    failed = {tag: error for tag, error in failed.items() if tag not in held}
    judged = ((tag, one) for tag, one in answers.items() if tag not in failed and tag not in held)
    meant = {tag: _meaning(mirror, observed, tag, one) for tag, one in judged}
    gone = frozenset(tag for tag, one in meant.items() if one is None)
    return Draft(
        mirror,
        observed,
        wanted={tag: one for tag, one in meant.items() if isinstance(one, Descriptor)},
        # A tag that was resolved is judged by its answer, whatever the list has.
        gone=gone | (still - answers.keys() - held.keys()),
        left_out={tag: one for tag, one in meant.items() if isinstance(one, LeftOut)},
        failures={**failed, **{tag: one for tag, one in meant.items() if isinstance(one, SourceError)}},
        news=news,
        warnings=_warnings(mirror, gone),
        held=held,
    )


def some_of(tags: list[str]) -> str:
    """Names tags in a message, the first few of many."""
    more = f" and {len(tags) - MAX_NAMES} more" if len(tags) > MAX_NAMES else ""
    return ", ".join(tags[:MAX_NAMES]) + more


def _meaning(mirror: Mirror, observed: RepositoryState, tag: str, answer: Descriptor | SourceError) -> _Meaning:
    """Absent tags and those that cannot be mirrored are failures only if they are named and not mirrored yet."""
    if isinstance(answer, Descriptor):
        # Its index was read once and has no wanted platform. Reading it again would cost a pull in every run.
        known = observed.left_out.get(tag)
        if known and tag not in mirror.named and (known.digest, known.platforms) == (answer.digest, mirror.platforms):
            return known
        return answer
    locked = mirror.locked.get(tag)
    if isinstance(answer, NotFound) and locked and not _has(observed, tag, locked.digest):
        return NotFound(f"{mirror.source}:{locked.tag}", LOCKED_GONE.format(locked.digest, mirror.target))
    if isinstance(answer, NotFound) and _was_there(mirror, observed, tag):
        return None
    if isinstance(answer, NotFound | Unsupported) and tag not in mirror.named:
        return LeftOut(None, NO_MANIFEST if isinstance(answer, NotFound) else answer.why)
    return answer


def _has(observed: RepositoryState, tag: str, digest: Digest) -> bool:
    return tag in observed.tags and observed.tags[tag].digest == digest


def _was_there(mirror: Mirror, observed: RepositoryState, tag: str) -> bool:
    """Whether the tag is mirrored from this very source, so that it is gone there rather than mistyped."""
    recorded, pattern = observed.tags.get(tag), mirror.named.get(tag)
    if recorded is None or observed.source != mirror.source or mirror.when_gone != "keep":
        return False
    # A pin with another digest than the mirrored one was edited: the image that it names now was never there.
    return not isinstance(pattern, Pinned) or pattern.digest == recorded.digest


def _warnings(mirror: Mirror, gone: frozenset[str]) -> tuple[str, ...]:
    return tuple(
        f"{tag} is named in mirrors.yaml and {GONE}; what is mirrored of it is kept"
        for tag in sorted(gone & mirror.named.keys())
    )
