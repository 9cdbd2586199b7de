"""Asks the sources what the patterns of the mirrors mean today. Reads only: tag lists and HEAD requests.

In rounds on an executor:

1. the tag list of every mirror that needs one
2. what each chosen tag points to, except for immutable and pinned tags that are mirrored already
3. of mirrors with `referrers`, what is attached to the images that are mirrored already
4. of mirrors with `signed_by`, the signatures of what would change (`signatures`)

A failure is a value beside what was found. What follows from both is decided by `findings.judge`, which is pure.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reconciler.errors import SourceError
from reconciler.mirrors.near_misses import empty_handed
from reconciler.mirrors.only import check_only, matches_only
from reconciler.mirrors.patterns import Pinned
from reconciler.mirrors.selection import Chosen, Tally, needs_listing, select
from reconciler.oci.spec import Descriptor, Digest
from reconciler.plan.desire import Desired, desire_nothing
from reconciler.plan.findings import Findings, choosable, is_there, judge
from reconciler.plan.image_work import registry_of
from reconciler.plan.signatures import check_signatures, only_signed
from reconciler.signatures.gate import OPEN
from reconciler.target.index import MirrorIndex, RepositoryState
from reconciler.work.shares import Shares
from reconciler.work.threads import RESOLVE_WORKERS
from reconciler.work.unforeseen import unforeseen

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror, Mirrors
    from reconciler.oci.referrers import ListedAttachments
    from reconciler.plan.findings import Listed, Resolved
    from reconciler.signatures.gate import Gate
    from reconciler.sources import OpenSource

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """What a mirror chooses, and what its source was asked about that.

    answers   tag -> what it points to, or will turn out to
    tallies   what each of its patterns chooses
    warnings  about patterns that choose nothing
    """

    answers: Mapping[str, Descriptor | Future[Resolved]]
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
    """Returns every repository of the mirrors and of the index as it should be, sorted by target.

    read     reads the mirror index; it runs beside the first requests
    only     globs of targets; if there are any, other repositories are left out altogether
    recheck  resolve immutable tags too, and check the signatures of what is mirrored

    Raises whatever `read` raises, and `UsageError` for a glob that matches nothing; never `SourceError`.
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
    rounds = list(_ask_each(asked, reading, open_source, threads, listings, recheck=recheck))
    index, at = reading.result(), now().replace(microsecond=0)
    attachments = _list_attachments(rounds, index, open_source, threads, listings)
    found = [
        _settled(mirror, index, listings.get(mirror.target), one, attachments.get(mirror.target, {}))
        for mirror, one in rounds
    ]
    desired = [judge(one, mirrors.name, at) for one in found]
    verdicts = check_signatures(found, desired, index, open_source, executor, gate, recheck=recheck)
    desired = [only_signed(*one, mirrors.name, at) for one in zip(found, desired, verdicts, strict=True)]
    return tuple(sorted((*desired, *_unnamed(mirrors, index, only)), key=lambda one: one.target))


def _ask_each(
    mirrors: Sequence[Mirror],
    reading: Future[MirrorIndex],
    open_source: OpenSource,
    executor: Executor,
    listings: Mapping[str, Future[Listed]],
    *,
    recheck: bool,
) -> Iterator[tuple[Mirror, Asked]]:
    for mirror in mirrors:
        if reading.done():
            reading.result()  # If it failed, there is no reason to wait for the other sources.
        yield mirror, _ask(mirror, reading.result, open_source, executor, listings.get(mirror.target), recheck=recheck)


def _unnamed(mirrors: Mirrors, index: MirrorIndex, only: Sequence[str]) -> Iterator[Desired]:
    """The repositories of the index that belong to the mirrors file and that it does not name any more."""
    named = {mirror.target for mirror in mirrors.mirrors}
    moved = {mirror.source: mirror.target for mirror in mirrors.mirrors if mirror.target not in index.repositories}
    for target, observed in index.repositories.items():
        is_ours = target not in named and mirrors.owns(target, observed.owner)
        if is_ours and (observed.tags or observed.pending) and matches_only(target, only):
            yield desire_nothing(target, observed, moved.get(observed.source), prune=mirrors.defaults.prune)


def _settled(
    mirror: Mirror,
    index: MirrorIndex,
    listing: Future[Listed] | None,
    asked: Asked,
    attachments: Mapping[Digest, Future[ListedAttachments | SourceError]],
) -> Findings:
    """Waits for all that was asked about a mirror."""
    return Findings(
        mirror,
        _observed(index, mirror),
        listing.result() if listing else None,
        {tag: one.result() if isinstance(one, Future) else one for tag, one in asked.answers.items()},
        {subject: one.result() for subject, one in attachments.items()},
        asked.tallies,
        asked.warnings,
    )


def _observed(index: MirrorIndex, mirror: Mirror) -> RepositoryState:
    return index.repositories.get(mirror.target, RepositoryState(mirror.source))


def _ask(
    mirror: Mirror,
    read: Callable[[], MirrorIndex],
    open_source: OpenSource,
    executor: Executor,
    listing: Future[Listed] | None,
    *,
    recheck: bool,
) -> Asked:
    listed = listing.result() if listing else ()
    if isinstance(listed, SourceError):
        return Asked({})
    listed = choosable(mirror, listed, lambda: _observed(read(), mirror))
    selection = select(mirror.tags, mirror.exclude, mirror.immutable, listed)
    for tally in selection.tallies:
        logger.info("%s: %s chooses %d of %d tags", mirror.target, tally.pattern, tally.chosen, len(listed))
    answers = {
        chosen.tag: (None if recheck else _known(chosen, mirror, read))
        or executor.submit(_resolve, open_source, mirror.source, _reference(chosen))
        for chosen in selection.chosen
    }
    return Asked(answers, selection.tallies, empty_handed(mirror.tags, selection.tallies, listed if listing else None))


def _known(chosen: Chosen, mirror: Mirror, read: Callable[[], MirrorIndex]) -> Descriptor | None:
    """What the tag points to if that needs no request: it is mirrored, and does not move."""
    if not (chosen.immutable or isinstance(chosen.pattern, Pinned)):
        return None
    observed = _observed(read(), mirror).tags.get(chosen.tag)
    if observed is None or (isinstance(chosen.pattern, Pinned) and chosen.pattern.digest != observed.digest):
        return None
    return observed.descriptor


def _reference(chosen: Chosen) -> str:
    return str(chosen.pattern.digest) if isinstance(chosen.pattern, Pinned) else chosen.tag


def _list_attachments(
    rounds: Sequence[tuple[Mirror, Asked]],
    index: MirrorIndex,
    open_source: OpenSource,
    executor: Executor,
    listings: Mapping[str, Future[Listed]],
) -> dict[str, dict[Digest, Future[ListedAttachments | SourceError]]]:
    """Asks what is attached to every digest of the images that were resolved and are mirrored as they are, by target.

    The tag list comes first, even if no pattern needs it: it saves a request for each tag that is not there.
    """
    subjects = {mirror.target: _subjects(mirror, index, one.answers) for mirror, one in rounds}
    wanting = [mirror for mirror, _ in rounds if subjects[mirror.target]]
    listings = {m.target: listings.get(m.target) or executor.submit(_list, open_source, m.source) for m in wanting}
    asked = {}
    for mirror in wanting:
        listed = listings[mirror.target].result()
        tags = frozenset(listed) if listed and isinstance(listed, tuple) else None
        asked[mirror.target] = {
            subject: executor.submit(_attachments, open_source, mirror.source, subject, tags)
            for subject in subjects[mirror.target]
        }
    return asked


def _subjects(mirror: Mirror, index: MirrorIndex, answers: Mapping[str, Descriptor | Future[Resolved]]) -> list[Digest]:
    observed = index.repositories.get(mirror.target)
    if not mirror.referrers or observed is None:
        return []
    asked = {tag: answer.result() for tag, answer in answers.items() if isinstance(answer, Future)}
    unchanged = {
        one.digest for tag, one in asked.items() if isinstance(one, Descriptor) and is_there(observed, tag, one)
    }
    return sorted({subject for digest in unchanged for subject in observed.attachments.get(digest, {})})


def _list(open_source: OpenSource, source: str) -> Listed:
    try:
        return open_source(source).tags()
    except SourceError as error:
        return error
    except Exception as error:  # noqa: BLE001 it is that source's failure, whatever it is
        return unforeseen(source, error)


def _resolve(open_source: OpenSource, source: str, reference: str) -> Resolved:
    try:
        return open_source(source).resolve(reference)
    except SourceError as error:
        return error
    except Exception as error:  # noqa: BLE001 it is that source's failure, whatever it is
        return unforeseen(f"{source}:{reference}", error)


def _attachments(
    open_source: OpenSource, source: str, subject: Digest, listed: frozenset[str] | None
) -> ListedAttachments | SourceError:
    try:
        return open_source(source).attachments(subject, listed)
    except SourceError as error:
        return error
    except Exception as error:  # noqa: BLE001 it is that source's failure, whatever it is
        return unforeseen(f"{source}@{subject}", error)
