"""Asks the sources what the mirrors' patterns mean today. Reads only: tag lists and HEAD requests.

Rounds on an executor: the tag lists of every mirror that needs one, then what each chosen tag points at. A tag that is
immutable or pinned and already mirrored is not asked for. Of a mirror with `referrers`, a third: what is attached to
the images that are there already; with others, it is looked for when they are copied. What fails is a value beside what
was found; the judgement on both is `desire`'s, and where images have to be signed also that of `signed`, which makes
the last round.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import SourceError
from reconciler.mirrors.near_misses import empty_handed
from reconciler.mirrors.only import check_only, matches_only
from reconciler.mirrors.patterns import Pinned
from reconciler.mirrors.selection import Chosen, Tally, needs_listing, select
from reconciler.oci.referrers import Attached, is_attached_tag, news
from reconciler.oci.spec import Descriptor
from reconciler.plan.desire import Desired, desire, desire_nothing, desire_unchanged
from reconciler.plan.images import registry_of
from reconciler.plan.owners import conflict
from reconciler.plan.signed import Judged, only_signed
from reconciler.signatures.gate import OPEN
from reconciler.target.index import MirrorIndex, RepositoryState
from reconciler.work.shares import Shares
from reconciler.work.threads import RESOLVE_WORKERS
from reconciler.work.unforeseen import unforeseen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor

    from reconciler.mirrors.model import Mirror, Mirrors
    from reconciler.oci.spec import Digest
    from reconciler.signatures.gate import Gate
    from reconciler.sources import OpenSource

Listing: TypeAlias = tuple[str, ...] | SourceError
Answer: TypeAlias = Descriptor | SourceError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """What a mirror chooses, and what its source was asked of that.

    answers   tag -> what it points at, or will turn out to
    tallies   what each of its patterns has to do with that
    warnings  patterns that choose nothing
    """

    answers: Mapping[str, Descriptor | Future[Answer]]
    tallies: tuple[Tally, ...] = ()
    warnings: tuple[str, ...] = ()


def resolve(
    mirrors: Mirrors,
    read: Callable[[], MirrorIndex],
    open_source: OpenSource,
    executor: Executor,
    only: Sequence[str] = (),
    *,
    recheck: bool = False,
    gate: Gate = OPEN,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> tuple[Desired, ...]:
    """Every repository of the mirrors and of the index, as it should be, in the order of their names.

    `only`: globs of targets; where there are any, the other repositories are left out altogether. `recheck`: ask for
    immutable tags too, and for the signatures of what is mirrored. `read` gives the mirror index; that runs
    beside the questions, and is waited for when what to do depends on it. Never raises `SourceError`; what `read` does,
    and `UsageError` for a glob that matches nothing.
    """
    asked = [mirror for mirror in mirrors.mirrors if matches_only(mirror.target, only)]
    for mirror in asked:
        # Here, because it imports what they need, as `read` may on its thread: two at once can trip over each other.
        with suppress(SourceError):
            open_source(mirror.source)
    reading = executor.submit(read)
    coming = [registry_of(mirror.source) for mirror in asked]
    threads = Shares(executor, RESOLVE_WORKERS, lambda: tuple(coming)).by(lambda _, source, *__: registry_of(source))
    check_only(only, mirrors, lambda: reading.result().repositories)
    listings = {m.target: threads.submit(_list, open_source, m.source) for m in asked if needs_listing(m.tags)}
    coming.clear()  # From here on, all that have something to do share the threads.
    rounds = []
    for mirror in asked:
        if reading.done():
            reading.result()  # Where it failed, nobody has to wait for the other sources.
        one = _ask(mirror, reading.result, open_source, threads, listings.get(mirror.target), recheck=recheck)
        rounds.append((mirror, one))
    index, at = reading.result(), now().replace(microsecond=0)
    attached = _ask_attached(rounds, index, open_source, threads, listings)
    judged = [
        _judged(mirror, index, listings.get(mirror.target), one, attached.get(mirror.target, {}), mirrors.name, at)
        for mirror, one in rounds
    ]
    desired = only_signed(judged, index, open_source, executor, gate, recheck=recheck)
    named = {mirror.target for mirror in mirrors.mirrors}
    moved = {mirror.source: mirror.target for mirror in mirrors.mirrors if mirror.target not in index.repositories}
    desired += [
        desire_nothing(target, observed, moved.get(observed.source), prune=mirrors.defaults.prune)
        for target, observed in index.repositories.items()
        if target not in named
        and mirrors.owns(target, observed.owner)
        and (observed.tags or observed.pending)
        and matches_only(target, only)
    ]
    return tuple(sorted(desired, key=lambda repository: repository.target))


def _ask(
    mirror: Mirror,
    read: Callable[[], MirrorIndex],
    open_source: OpenSource,
    executor: Executor,
    listing: Future[Listing] | None,
    *,
    recheck: bool,
) -> Asked:
    listed = listing.result() if listing else ()
    if isinstance(listed, SourceError):
        return Asked({})
    listed = _choosable(mirror, listed, read)
    selection = select(mirror.tags, mirror.exclude, mirror.immutable, listed)
    for tally in selection.tallies:
        logger.info("%s: %s chooses %d of %d tags", mirror.target, tally.pattern, tally.chosen, len(listed))
    answers = {
        chosen.tag: (None if recheck else _settled(chosen, mirror.target, read))
        or executor.submit(_resolve, open_source, mirror.source, _reference(chosen))
        for chosen in selection.chosen
    }
    return Asked(answers, selection.tallies, empty_handed(mirror.tags, selection.tallies, listed if listing else None))


def _choosable(mirror: Mirror, listed: tuple[str, ...], read: Callable[[], MirrorIndex]) -> tuple[str, ...]:
    """The listed tags that a pattern may choose: not those of signatures where they come along, or have to be signed.

    One that a pattern chose before its mirror had `referrers` stays a tag of its own: that edit is to prune nothing.
    """
    attached = {tag for tag in listed if is_attached_tag(tag)}
    if not attached or not (mirror.referrers or mirror.signed_by):
        return listed
    observed = None if mirror.signed_by else read().repositories.get(mirror.target)
    passed_over = attached - observed.own_tags if observed else attached
    return tuple(tag for tag in listed if tag not in passed_over)


def _settled(chosen: Chosen, target: str, read: Callable[[], MirrorIndex]) -> Descriptor | None:
    """What the tag points at where that needs no request: it is mirrored, and does not move."""
    if not (chosen.immutable or isinstance(chosen.pattern, Pinned)):
        return None
    state = read().repositories.get(target)
    observed = state.tags.get(chosen.tag) if state else None
    if observed is None or (isinstance(chosen.pattern, Pinned) and chosen.pattern.digest != observed.digest):
        return None
    return observed.descriptor


def _reference(chosen: Chosen) -> str:
    return str(chosen.pattern.digest) if isinstance(chosen.pattern, Pinned) else chosen.tag


def _ask_attached(
    rounds: Sequence[tuple[Mirror, Asked]],
    index: MirrorIndex,
    open_source: OpenSource,
    executor: Executor,
    listings: Mapping[str, Future[Listing]],
) -> dict[str, dict[Digest, Future[Attached | SourceError]]]:
    """Target -> what is attached now to every digest of its images that were asked for and are mirrored as they are.

    Where nobody needed the tag list yet it is asked for first, for it saves a question for each tag that is not there.
    """
    subjects = {mirror.target: _subjects(mirror, index, one.answers) for mirror, one in rounds}
    wanting = [mirror for mirror, _ in rounds if subjects[mirror.target]]
    listings = {m.target: listings.get(m.target) or executor.submit(_list, open_source, m.source) for m in wanting}
    asked = {}
    for mirror in wanting:
        listed = listings[mirror.target].result()
        tags = frozenset(listed) if listed and isinstance(listed, tuple) else None
        asked[mirror.target] = {
            subject: executor.submit(_attached, open_source, mirror.source, subject, tags)
            for subject in subjects[mirror.target]
        }
    return asked


def _subjects(mirror: Mirror, index: MirrorIndex, answers: Mapping[str, Descriptor | Future[Answer]]) -> list[Digest]:
    observed = index.repositories.get(mirror.target)
    if not mirror.referrers or observed is None:
        return []
    asked = {tag: answer.result() for tag, answer in answers.items() if isinstance(answer, Future)}
    unchanged = {
        one.digest for tag, one in asked.items() if isinstance(one, Descriptor) and _is_there(observed, tag, one)
    }
    return sorted({subject for digest in unchanged for subject in observed.attached.get(digest, {})})


def _is_there(observed: RepositoryState, tag: str, wanted: Descriptor) -> bool:
    return tag in observed.tags and observed.tags[tag].digest == wanted.digest


def _news(
    observed: RepositoryState, answers: dict[str, Answer], found: dict[Digest, Attached | SourceError]
) -> tuple[dict[str, str], dict[str, SourceError]]:
    """Tag -> what is attached that was not, in words; and tag -> why that could not be asked."""
    told: dict[str, str] = {}
    failed: dict[str, SourceError] = {}
    for tag, one in answers.items():
        if isinstance(one, SourceError) or not _is_there(observed, tag, one):
            continue
        record = observed.attached.get(one.digest)
        if record is None:
            told[tag] = "referrers: not looked for yet"
            continue
        theirs = {subject: found[subject] for subject in record if subject in found}
        errors = [answer for answer in theirs.values() if isinstance(answer, SourceError)]
        count = news(record, {s: a for s, a in theirs.items() if isinstance(a, Attached)}, observed.tags)
        if errors:
            failed[tag] = errors[0]
        elif count:
            told[tag] = f"referrers: + {count}"
    return told, failed


def _refusals(attached: Mapping[Digest, Future[Attached | SourceError]]) -> tuple[str, ...]:
    """Why the source does not list what is attached, said once for all digests."""
    found = [one.result() for one in attached.values()]
    return tuple(dict.fromkeys(one.refusal for one in found if isinstance(one, Attached) and one.refusal))


def _judged(
    mirror: Mirror,
    index: MirrorIndex,
    listing: Future[Listing] | None,
    asked: Asked,
    attached: dict[Digest, Future[Attached | SourceError]],
    name: str,
    now: datetime,
) -> Judged:
    refusal = conflict(mirror.target, index.repositories.get(mirror.target), name)

    def judge(failed: Mapping[str, SourceError]) -> Desired:
        if refusal:
            return desire_unchanged(mirror, index.repositories[mirror.target], refusal)
        judged = _judge(mirror, index, listing, asked.answers, failed, attached, now)
        warnings = (*judged.warnings, *asked.warnings, *_refusals(attached))
        return replace(judged, tallies=asked.tallies, warnings=warnings)

    return Judged(mirror, judge({}), judge)


def _judge(
    mirror: Mirror,
    index: MirrorIndex,
    listing: Future[Listing] | None,
    answers: Mapping[str, Answer | Future[Answer]],
    refused: Mapping[str, SourceError],
    attached: Mapping[Digest, Future[Attached | SourceError]],
    now: datetime,
) -> Desired:
    observed = index.repositories.get(mirror.target, RepositoryState(mirror.source))
    listed = listing.result() if listing else None
    if isinstance(listed, SourceError):
        return desire_unchanged(mirror, observed, str(listed))
    if listed == () and observed.tags:
        return desire_unchanged(
            mirror,
            observed,
            f"{mirror.source}: lists no tags at all, but {len(observed.tags)} are mirrored; nothing is removed. If the "
            "repository really is empty now, take the mirror out of mirrors.yaml",
        )
    settled = {
        tag: answer if isinstance(answer, Descriptor | SourceError) else answer.result()
        for tag, answer in answers.items()
    }
    found = {subject: one.result() for subject, one in attached.items()}
    told, failed = _news(observed, settled, found) if mirror.referrers else ({}, {})
    return desire(
        mirror,
        observed,
        settled,
        now=now,
        still=frozenset() if listed is None else _still_chosen(mirror, index, observed, listed),
        failed={**failed, **refused},
        news=told,
    )


def _still_chosen(
    mirror: Mirror, index: MirrorIndex, observed: RepositoryState, listed: tuple[str, ...]
) -> frozenset[str]:
    """The mirrored tags that are listed no more, and that would be chosen if they were listed with the others.

    A tag that upstream deleted is among them; one whose place among the newest was taken goes as it would have anyway.
    What is listed is chosen without a look at them: they take nobody's place.
    """
    lost = observed.tags.keys() - set(listed)
    if not lost:
        return frozenset()
    selection = select(mirror.tags, mirror.exclude, (), _choosable(mirror, (*listed, *lost), lambda: index))
    return frozenset(one.tag for one in selection.chosen) & lost


def _list(open_source: OpenSource, source: str) -> Listing:
    try:
        return open_source(source).tags()
    except SourceError as error:
        return error
    except Exception as error:  # noqa: BLE001 it is that source's failure, whatever it is
        return unforeseen(source, error)


def _resolve(open_source: OpenSource, source: str, reference: str) -> Answer:
    try:
        return open_source(source).resolve(reference)
    except SourceError as error:
        return error
    except Exception as error:  # noqa: BLE001 it is that source's failure, whatever it is
        return unforeseen(f"{source}:{reference}", error)


def _attached(
    open_source: OpenSource, source: str, subject: Digest, listed: frozenset[str] | None
) -> Attached | SourceError:
    try:
        return open_source(source).attached(subject, listed)
    except SourceError as error:
        return error
    except Exception as error:  # noqa: BLE001 it is that source's failure, whatever it is
        return unforeseen(f"{source}@{subject}", error)
