"""Sends the requests that tell what the patterns of the mirrors mean today: tag lists and HEAD requests.

In rounds, each on all threads, since what a round requests depends on the answers of the one before:

1. the tag list of every mirror that needs one
2. what each chosen tag points to, except for immutable and pinned tags that are mirrored already
3. of mirrors with `min_age`, what those tags point to that take the places of the ones that wait
4. of mirrors with `referrers`, what is attached to the images that are mirrored already
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import field, replace
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from reconciler.errors import SourceError
from reconciler.frozen import Frozen
from reconciler.mirrors.near_misses import empty_handed
from reconciler.mirrors.patterns import Pinned
from reconciler.mirrors.selection import Chosen, Tally, needs_listing, select
from reconciler.mirrors.surprises import surprises
from reconciler.mirrors.tag_list import TagList
from reconciler.oci.spec import Descriptor, Digest
from reconciler.plan.ages import Ages, Testimony, Waiting, ages
from reconciler.plan.findings import Findings, choosable, is_there
from reconciler.plan.names import in_store, source_tags
from reconciler.sources import NO_PROVENANCE, Provenance, provenance_of, resolve_again
from reconciler.sources.kinds import registry_of
from reconciler.target.index import MirrorIndex, RepositoryState
from reconciler.work.shares import Shares
from reconciler.work.threads import RESOLVE_WORKERS
from reconciler.work.unforeseen import unforeseen

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror
    from reconciler.oci.referrers import ListedAttachments
    from reconciler.plan.findings import Listed, Resolved
    from reconciler.plan.settings import Resolving
    from reconciler.plan.witnesses import Witnesses
    from reconciler.sources import OpenSource, Source

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

ROUNDS = 4
"""How often tags that take the places of others are resolved, where another witness may know that they are old."""

_Attachments: TypeAlias = "Mapping[Digest, Future[ListedAttachments | SourceError]]"
"""Digest -> what is attached to it now, once that is known."""


class _Selected(Frozen):
    """What a mirror chooses.

    answers   tag -> what it points to, or will turn out to; or why no tag gets this name
    tallies   what each of its patterns chooses
    warnings  about patterns that choose nothing
    chosen    the tags that are chosen, and in earlier rounds were
    last      those that are chosen now
    listed    the listed tags that they are chosen from, by their names at the source
    passing   those of them that wait, or would, by these names too
    rounds    how often they were chosen
    """

    answers: Mapping[str, Resolved | Future[Resolved]]
    tallies: tuple[Tally, ...] = ()
    warnings: tuple[str, ...] = ()
    chosen: Mapping[str, Chosen] = field(default_factory=dict)
    last: frozenset[str] = frozenset()
    listed: TagList = field(default_factory=lambda: TagList(()))
    passing: frozenset[str] = frozenset()
    rounds: int = 1


class Rounds:
    """The rounds of requests for some mirrors, of which the first begins at once.

    `reading`: the mirror index, which may still be read.
    """

    def __init__(
        self,
        mirrors: Sequence[Mirror],
        reading: Future[MirrorIndex],
        open_source: OpenSource,
        executor: Executor,
        witnesses: Witnesses,
        resolving: Resolving,
    ) -> None:
        self._mirrors = mirrors
        self._reading = reading
        self._open_source = open_source
        self._witnesses = witnesses
        self._resolving = resolving
        self._choices = resolving.choices
        self._selected: list[_Selected] = []
        self._testimonies: dict[tuple[str, str], Future[Testimony | None]] = {}
        # A registry whose lists are submitted first must not take the threads that the others are about to need.
        coming = [registry_of(mirror.source) for mirror in mirrors]
        shares = Shares(executor, RESOLVE_WORKERS, lambda: tuple(coming))
        self._threads = shares.by(lambda source, *_: registry_of(source))
        self._listings = {one.target: self._list(one) for one in mirrors if needs_listing(one.tags)}
        coming.clear()  # From here on, only registries with work to do share the threads.

    def choose(self) -> None:
        """Waits for the tag lists, and begins to resolve what is chosen of them. Raises as `findings` does."""
        self._selected = [self._select(mirror) for mirror in self._mirrors]

    def findings(self) -> list[Findings]:
        """Returns what every mirror's source answered about what was chosen, in the order of the mirrors.

        Raises whatever reading the mirror index raises; the failure of a source is a value beside its answers.
        """
        selected = self._selected_by_age(self._selected)
        aged = [self._ages(*one) for one in zip(self._mirrors, selected, strict=True)]
        subjects = [self._subjects(*one) for one in zip(self._mirrors, selected, aged, strict=True)]
        self._list_those_with(subjects)
        attachments = [self._list_attachments(*one) for one in zip(self._mirrors, subjects, strict=True)]
        return [self._settled(*one) for one in zip(self._mirrors, selected, aged, attachments, strict=True)]

    def _select(self, mirror: Mirror) -> _Selected:
        """Chooses the tags of a mirror, and begins to resolve those that are not known already."""
        if self._reading.done():
            self._reading.result()  # If it failed, there is no reason to wait for the other sources.
        listing = self._listings.get(mirror.target)
        # Which tags are versions depends on the others: where mirrors.lock has them all, none is listed.
        locked = tuple(one.tag for one in mirror.locked.values())
        offered = self._listed(mirror, listing) if listing else locked
        if isinstance(offered, SourceError):
            return _Selected({})
        # The index may still be read, and is waited for only by mirrors whose choice depends on it.
        listed = TagList(choosable(mirror, offered, lambda: self._observed(mirror)))
        selection = select(mirror.tags, mirror.exclude, mirror.immutable, listed)
        # Each tag of mirrors.lock is a pattern of its own: what each of them chooses is no news.
        tallies = () if mirror.locked else selection.tallies
        for tally in tallies:
            about = {"repository": mirror.target}
            logger.info(
                "%s: %s chooses %d of %d tags", mirror.target, tally.pattern, tally.chosen, len(listed), extra=about
            )
        named = in_store(mirror, selection.chosen)
        answers: dict[str, Resolved | Future[Resolved]] = {
            tag: self._known(one, mirror) or self._resolve(one, mirror) for tag, one in named.chosen.items()
        }
        empty = empty_handed(mirror.tags, selection.tallies, listed if listing else None)
        warnings = (*empty, *surprises(selection.chosen, listed))
        answers |= named.refused
        return _Selected(answers, tallies, warnings, named.chosen, frozenset(answers), listed)

    def _selected_by_age(self, selected: list[_Selected]) -> list[_Selected]:
        """Chooses again without the tags that wait, until no more of them do."""
        while True:
            again = [self._select_again(*one) for one in zip(self._mirrors, selected, strict=True)]
            if all(new is old for new, old in zip(again, selected, strict=True)):
                return selected
            selected = again

    def _select_again(self, mirror: Mirror, selected: _Selected) -> _Selected:
        """Chooses without the tags that wait, which take no place among the newest. One that is mirrored keeps its.

        Only what is mirrored or was seen takes their places: everything else would wait as well, and all older tags
        would be resolved in vain.
        """
        if mirror.min_age is None or not selected.last:
            return selected
        observed = self._observed(mirror)
        waiting = (self._ages(mirror, selected).tags & selected.last) - observed.tags.keys()
        if not waiting:
            return selected
        new = {selected.chosen[tag].at_source for tag in waiting}
        known = observed.tags.keys() | observed.seen.keys() | selected.chosen.keys()
        asks = mirror.min_age.has_others and selected.rounds < ROUNDS
        unseen = {
            tag for tag in selected.listed if not (asks or mirror.name_of(tag) in known or mirror.min_age.exempts(tag))
        }
        passing = selected.passing | new | unseen
        again = select(mirror.tags, mirror.exclude, mirror.immutable, selected.listed, passing)
        named = in_store(mirror, again.chosen)
        # A name that waits with one tag is not given to another meanwhile: the first would never get old enough.
        chosen = {tag: one for tag, one in named.chosen.items() if selected.chosen.get(tag, one) == one}
        more = {
            tag: self._known(one, mirror) or self._resolve(one, mirror)
            for tag, one in chosen.items()
            if tag not in selected.answers
        }
        refused = {tag: why for tag, why in named.refused.items() if tag not in selected.chosen}
        return replace(
            selected,
            answers={**selected.answers, **more, **refused},
            chosen={**selected.chosen, **chosen},
            last=frozenset((*chosen, *refused)),
            passing=passing,
            rounds=selected.rounds + 1,
        )

    def _ages(self, mirror: Mirror, selected: _Selected) -> Ages:
        listing = self._listings.get(mirror.target) if needs_listing(mirror.tags) else None
        listed = self._listed(mirror, listing) if listing else None
        resolved = self._results(mirror, selected.chosen, selected.answers)
        observed, now = self._observed(mirror), self._resolving.now()

        def with_(testimonies: Mapping[str, Testimony | None]) -> Ages:
            lists = listed if isinstance(listed, tuple) else None
            return ages(mirror, observed, selected.chosen, resolved, lists, now, self._choices.consent, testimonies)

        found = with_({})
        if not mirror.min_age or not mirror.min_age.has_others:
            return found
        asked = {
            one.tag: self._testimony(mirror, one, selected.chosen[one.tag].at_source, now)
            for one in found.waiting
            if one.until
        }
        return with_({tag: one.result() for tag, one in asked.items()})

    def _testimony(self, mirror: Mirror, waiting: Waiting, at_source: str, now: datetime) -> Future[Testimony | None]:
        """Asks the other witnesses, once for each tag."""
        place = (mirror.target, waiting.tag)
        if place not in self._testimonies:
            self._testimonies[place] = self._threads.submit(
                lambda *_: self._witnesses.testify(mirror, at_source, waiting.digest, now), mirror.source
            )
        return self._testimonies[place]

    def _known(self, chosen: Chosen, mirror: Mirror) -> Descriptor | None:
        """What the tag points to if that needs no request: it is mirrored, and does not move here."""
        accepted = f"{mirror.target}:{chosen.tag}" in self._choices.consent.moved
        # A tag that waits for min_age is resolved anyway, or it would lose the time that it has waited.
        is_fixed = chosen.immutable or (self._choices.only_missing and mirror.min_age is None)
        if self._choices.recheck or accepted or not (is_fixed or isinstance(chosen.pattern, Pinned)):
            return None
        observed = self._observed(mirror)
        if isinstance(chosen.pattern, Pinned):
            # Whatever tag has or had it: the target holds the image, and a digest cannot mean another one.
            digest = chosen.pattern.digest
            tagged = observed.descriptors.get(digest)
            if tagged is None and digest in observed.retired:
                return self._resolving.stored(mirror.target, digest)
            return tagged
        state = observed.tags.get(chosen.tag)
        return state.descriptor if state else None

    def _subjects(self, mirror: Mirror, selected: _Selected, aged: Ages) -> list[Digest]:
        """The digests of images that were resolved, and that are mirrored as they are at the source."""
        if not mirror.referrers or mirror.target not in self._reading.result().repositories:
            return []
        observed = self._observed(mirror)
        # An image that changes is copied with what is attached to it then. What needed no request needs none here.
        resolved = {tag: one.result() for tag, one in selected.answers.items() if isinstance(one, Future)}
        unchanged = {
            one.digest for tag, one in resolved.items() if isinstance(one, Descriptor) and is_there(observed, tag, one)
        }
        unchanged |= {one.digest for one in _served(observed, aged).values()}
        return sorted({subject for digest in unchanged for subject in observed.attachments.get(digest, {})})

    def _list_those_with(self, subjects: Sequence[Sequence[Digest]]) -> None:
        """Lists the tags of mirrors whose attachments are to be listed, even if none of their patterns needs that.

        It saves a request for each digest that has no tag of that kind. All lists are begun before one is waited for.
        """
        for mirror, some in zip(self._mirrors, subjects, strict=True):
            if some and mirror.target not in self._listings:
                self._listings[mirror.target] = self._list(mirror)

    def _list_attachments(self, mirror: Mirror, subjects: Sequence[Digest]) -> _Attachments:
        if not subjects:
            return {}
        listed = self._listings[mirror.target].result()
        # Without a list, or with an empty one that is not believed, each tag of an attachment is requested.
        tags = frozenset(listed) if listed and isinstance(listed, tuple) else None
        return {subject: self._attachments(mirror, subject, tags) for subject in subjects}

    def _settled(self, mirror: Mirror, selected: _Selected, aged: Ages, attachments: _Attachments) -> Findings:
        """Waits for all that was requested for a mirror."""
        # A list that was fetched only for the attachments must not decide which tags are gone.
        listing = self._listings.get(mirror.target) if needs_listing(mirror.tags) else None
        observed = self._observed(mirror)
        resolved = {tag: one for tag, one in selected.answers.items() if tag in selected.last - aged.tags}
        answers = self._results(mirror, selected.chosen, resolved)
        return Findings(
            mirror,
            observed,
            self._listed(mirror, listing) if listing else None,
            {**answers, **_served(observed, aged)},
            {subject: one.result() for subject, one in attachments.items()},
            selected.tallies,
            selected.warnings,
            aged,
            selected.passing,
            {tag: one.source_tag for tag, one in selected.chosen.items()},
            self._provenance(mirror, selected.chosen),
        )

    def _results(
        self, mirror: Mirror, chosen: Mapping[str, Chosen], answers: Mapping[str, Resolved | Future[Resolved]]
    ) -> dict[str, Resolved]:
        """Waits for answers. A mirrored tag of which a source gave none stays: the next one must not move it."""
        found = {tag: one.result() if isinstance(one, Future) else one for tag, one in answers.items()}
        doubtful = self._provenance(mirror, chosen).doubtful & found.keys()
        staying = self._observed(mirror).tags if doubtful else {}
        return {**found, **{tag: staying[tag].descriptor for tag in doubtful & staying.keys()}}

    def _listed(self, mirror: Mirror, listing: Future[Listed]) -> Listed:
        """Waits for the tags of a mirror. While one of its sources fails, what is mirrored counts as listed there."""
        listed = listing.result()
        if isinstance(listed, SourceError) or not self._provenance(mirror, {}).failed:
            return listed
        mirrored = source_tags(mirror, self._observed(mirror))
        return tuple(dict.fromkeys((*listed, *mirrored.values())))

    def _provenance(self, mirror: Mirror, chosen: Mapping[str, Chosen]) -> Provenance:
        """Returns which of several sources answered, about the chosen tags by their names in the store."""
        if not mirror.fallbacks:
            return NO_PROVENANCE
        try:
            found = provenance_of(self._open_source(mirror.source))
        except SourceError:
            return NO_PROVENANCE
        names = {tag: one.at_source for tag, one in chosen.items()}
        served = {tag: found.served[name] for tag, name in names.items() if name in found.served}
        doubtful = frozenset(tag for tag, name in names.items() if name in found.doubtful)
        return Provenance(served, found.failed, doubtful)

    def _observed(self, mirror: Mirror) -> RepositoryState:
        return self._reading.result().repositories.get(mirror.target, RepositoryState(mirror.source))

    def _list(self, mirror: Mirror) -> Future[Listed]:
        return self._send(mirror.source, mirror.source, lambda source: source.tags())

    def _resolve(self, chosen: Chosen, mirror: Mirror) -> Future[Resolved]:
        reference = str(chosen.pattern.digest) if isinstance(chosen.pattern, Pinned) else chosen.at_source
        return self._send(
            mirror.source,
            f"{mirror.source}:{reference}",
            lambda source: resolve_again(source, reference, self._recorded(chosen, mirror)),
        )

    def _recorded(self, chosen: Chosen, mirror: Mirror) -> Descriptor | None:
        """What the mirror index has for a tag, if the index is there by now: it is not waited for."""
        is_read = self._reading.done() and self._reading.exception() is None
        if not is_read or self._choices.recheck or isinstance(chosen.pattern, Pinned):
            return None
        state = self._observed(mirror).tags.get(chosen.tag)
        return state.descriptor if state else None

    def _attachments(
        self, mirror: Mirror, subject: Digest, tags: frozenset[str] | None
    ) -> Future[ListedAttachments | SourceError]:
        what = f"{mirror.source}@{subject}"
        return self._send(
            mirror.source, what, lambda source: source.attachments(subject, tags).limited(mirror.referrer_types)
        )

    def _send(self, name: str, what: str, request: Callable[[Source], Answer]) -> Future[Answer | SourceError]:
        return self._threads.submit(self._answer, name, what, request)

    def _answer(self, name: str, what: str, request: Callable[[Source], Answer]) -> Answer | SourceError:
        try:
            return request(self._open_source(name))
        except SourceError as error:
            return error
        except Exception as error:  # noqa: BLE001 it is that source's failure, whatever it is
            return unforeseen(what, error)


def _served(observed: RepositoryState, aged: Ages) -> dict[str, Descriptor]:
    """What is mirrored of the tags whose updates wait: meanwhile it is what they are to point to, as configured."""
    return {tag: observed.tags[tag].descriptor for tag in aged.tags & observed.tags.keys()}
