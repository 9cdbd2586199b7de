"""Decides which digests are old enough to be published, where a mirror has `min_age`. Pure.

A digest is as old as the time since an apply first saw it under its tag, by the store's clock; what an image says about
itself never counts. One that its tag left before it was old enough is not published if it comes back: a moved tag that
is put right within days has never been mirrored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from reconciler.errors import ImmutableMoved, NotFound
from reconciler.frozen import Frozen
from reconciler.mirrors.min_age import LOG, PUSH
from reconciler.mirrors.patterns import Locked, Pinned
from reconciler.oci.docker_hub import DOCKER_HUB
from reconciler.oci.spec import Descriptor, Digest
from reconciler.words import duration_words

if TYPE_CHECKING:
    from reconciler.errors import SourceError
    from reconciler.mirrors.model import Mirror
    from reconciler.mirrors.patterns import Pattern
    from reconciler.mirrors.selection import Chosen
    from reconciler.target.index import RepositoryState

NOW, PRESENT, MOVED = "--now", "--accept-present", "--accept-moved"
"""By which option a person lets an image through."""


class Consent(Frozen):
    """What a person lets through in one run; tags are written `TARGET:TAG`.

    now      tags that do not wait
    present  whether nothing waits that the sources have now
    moved    immutable tags that may move
    """

    now: frozenset[str] = frozenset()
    present: bool = False
    moved: frozenset[str] = frozenset()

    def past_waiting(self, target: str, waiting: Waiting) -> str | None:
        """Returns the option that lets a tag through although it waits, None if there is none."""
        if f"{target}:{waiting.tag}" in self.now:
            return NOW
        return PRESENT if self.present and waiting.until else None


NO_CONSENT = Consent()


class Waiting(Frozen):
    """A digest that is not published under its tag yet.

    since  when it was seen there first
    until  when it is old enough; None: never, as the tag has left it before that and come back
    """

    tag: str
    digest: Digest
    since: datetime
    until: datetime | None


class Testimony(Frozen):
    """What another witness than the mirror index says of a digest under a tag: since when it has been there."""

    by: str
    since: datetime


class Vanished(Frozen):
    """A digest that the source no longer has under a tag, and that was not published."""

    tag: str
    digest: Digest
    since: datetime


class Moved(Frozen):
    """An immutable tag that points to another digest at its source than the one that is mirrored."""

    tag: str
    before: Digest
    after: Digest


class Ages(Frozen):
    """What is known of the ages of a mirror's digests, and of immutable tags that moved.

    waiting    tags whose digests are not old enough
    vanished   what was seen and has gone, since the last apply
    sightings  tag -> its digest, or None if the source failed: what an apply notes; None: nothing is noted
    early      tag that would wait or has moved, and is published -> the witness or the option that says so
    moved      immutable tags that moved and stay as they are mirrored
    """

    waiting: tuple[Waiting, ...] = ()
    vanished: tuple[Vanished, ...] = ()
    sightings: Mapping[str, Digest | None] | None = None
    early: Mapping[str, str] = field(default_factory=dict)
    moved: tuple[Moved, ...] = ()

    @property
    def tags(self) -> frozenset[str]:
        """The tags that wait."""
        return frozenset(one.tag for one in self.waiting)

    def warnings(self, mirror: Mirror) -> Iterator[str]:
        """Yields what deserves attention: images that were withdrawn before their time, or let through."""
        for one in self.vanished:
            yield (
                f"{one.tag}: {one.digest} was first seen {moment(one.since)}, and has gone before it was published; "
                "it never will be"
            )
        let = sorted(tag for tag, by in self.early.items() if by == PRESENT)
        if let and mirror.min_age:
            yield (
                f"{PRESENT}: {len(let)} of the tags have not been seen for {duration_words(mirror.min_age.age)}, and "
                f"are published all the same: {', '.join(let[:5])}{', ...' if len(let) > 5 else ''}"
            )

    def failures(self, mirror: Mirror) -> dict[str, SourceError]:
        """Returns the tags that must not move, with the reason."""
        return {
            one.tag: ImmutableMoved(
                f"{mirror.source}:{one.tag}",
                f"is immutable, and has moved: mirrored is {one.before}, the source has {one.after}; the mirrored "
                f"image stays; check the new one, then mirror it with `{MOVED} {mirror.target}:{one.tag}`",
            )
            for one in self.moved
        }


NO_AGES = Ages()


def ages(
    mirror: Mirror,
    observed: RepositoryState,
    chosen: Mapping[str, Chosen],
    resolved: Mapping[str, Descriptor | SourceError],
    listed: tuple[str, ...] | None,
    now: datetime,
    consent: Consent,
    testimonies: Mapping[str, Testimony | None],
) -> Ages:
    """Returns the ages of what the tags of a mirror point to.

    chosen       every tag that was resolved, and how it was chosen
    listed       the source's tag list, None if there is none
    testimonies  by tag, what other witnesses say of digests that would wait
    """
    held = observed.holds(mirror.entry)
    digests = {tag: one.digest for tag, one in resolved.items() if isinstance(one, Descriptor) and tag not in held}
    moves = [move for tag, digest in digests.items() if (move := _move(observed, chosen[tag], digest))]
    moving = {one.tag for one in moves}
    waits = [
        waiting
        for tag, digest in digests.items()
        if tag not in moving and (waiting := wait(mirror, observed, tag, digest, now, chosen[tag].at_source))
    ]
    early = {
        one.tag: by
        for one in waits
        if (by := _by(one, testimonies.get(one.tag)) or consent.past_waiting(mirror.target, one))
    }
    early |= {one.tag: MOVED for one in moves if f"{mirror.target}:{one.tag}" in consent.moved}
    # A tag that must not move does not wait either: without a recheck it would seem to have left what it moved to.
    # What mirrors.lock has says nothing about what the source has now, so that nothing was seen, or seen to have gone.
    asked = {} if mirror.locked else resolved
    sightings = _sightings(mirror, observed, chosen, {tag: one for tag, one in resolved.items() if tag not in moving})
    return Ages(
        tuple(sorted((one for one in waits if one.tag not in early), key=lambda one: one.tag)),
        tuple(_vanished(mirror, observed, asked, listed)) if mirror.min_age else (),
        None if mirror.locked else sightings,
        early,
        tuple(one for one in moves if one.tag not in early),
    )


def wait(
    mirror: Mirror, observed: RepositoryState, tag: str, digest: Digest, now: datetime, at_source: str
) -> Waiting | None:
    """Returns since when and until when a digest waits under a tag; None if it may be published, or is already.

    `at_source`: the tag's name at the source, which is what `min_age` exempts.
    """
    recorded = observed.tags.get(tag)
    if mirror.min_age is None or not _may_wait(mirror, tag, at_source) or (recorded and recorded.digest == digest):
        return None
    seen = next((one for one in observed.seen.get(tag, ()) if one.digest == digest), None)
    since = min(one for one in (seen.since if seen else now, _locked_since(mirror, tag, digest)) if one)
    if seen and seen.gone:
        return Waiting(tag, digest, since, None)
    # The difference of any two times is in range, a sum need not be.
    return Waiting(tag, digest, since, _later(since, mirror.min_age.age)) if now - since < mirror.min_age.age else None


def may_testify(witness: str, mirror: Mirror) -> bool:
    """Returns whether a mirror lets another witness than the mirror index decide, and can have one of this kind."""
    if mirror.min_age is None or witness not in mirror.min_age.seen_by:
        return False
    is_at_hub = mirror.repository is not None and mirror.repository.registry == DOCKER_HUB
    # A plan does not fetch signatures from Docker Hub.
    return (witness == PUSH and is_at_hub) or (witness == LOG and not is_at_hub and bool(mirror.signed_by))


def _by(waiting: Waiting, testimony: Testimony | None) -> str | None:
    # What has left its tag and come back is in doubt, however old it is.
    return testimony.by if testimony and waiting.until else None


def moment(time: datetime) -> str:
    """Writes a time for people, in UTC to the minute."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}"


def _move(observed: RepositoryState, chosen: Chosen, digest: Digest) -> Moved | None:
    recorded = observed.tags.get(chosen.tag)
    # An edit of a pin moves its tag on purpose.
    if not chosen.immutable or _is_vouched_for(chosen.pattern) or recorded is None or recorded.digest == digest:
        return None
    return Moved(chosen.tag, recorded.digest, digest)


def _may_wait(mirror: Mirror, tag: str, at_source: str) -> bool:
    """Whether a new digest of the tag has to wait. A pin names its digest, which was therefore checked by a person."""
    min_age = mirror.min_age
    return min_age is not None and not _is_vouched_for(mirror.named.get(tag)) and not min_age.exempts(at_source)


def _is_vouched_for(pattern: Pattern | None) -> bool:
    return isinstance(pattern, Pinned) and not isinstance(pattern, Locked)


def _locked_since(mirror: Mirror, tag: str, digest: Digest) -> datetime | None:
    locked = mirror.locked.get(tag)
    return locked.since if locked and locked.digest == digest else None


def _later(since: datetime, age: timedelta) -> datetime:
    try:
        return since + age
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC, microsecond=0)


def _sightings(
    mirror: Mirror,
    observed: RepositoryState,
    chosen: Mapping[str, Chosen],
    resolved: Mapping[str, Descriptor | SourceError],
) -> Mapping[str, Digest | None] | None:
    if not mirror.min_age:
        return {} if observed.seen else None
    found: dict[str, Digest | None] = {}
    for tag, one in resolved.items():
        at_source = chosen[tag].at_source if tag in chosen else tag
        if not _may_wait(mirror, tag, at_source) or isinstance(one, NotFound):
            continue
        recorded = observed.tags.get(tag)
        if tag in observed.seen:
            found[tag] = one.digest if isinstance(one, Descriptor) else None
        elif isinstance(one, Descriptor) and not (recorded and recorded.digest == one.digest):
            found[tag] = one.digest
    return found


def _vanished(
    mirror: Mirror,
    observed: RepositoryState,
    resolved: Mapping[str, Descriptor | SourceError],
    listed: tuple[str, ...] | None,
) -> Iterator[Vanished]:
    there = None if listed is None or not observed.seen else frozenset(map(mirror.name_of, listed))
    for tag, some in observed.seen.items():
        match resolved.get(tag):
            case Descriptor() as one:
                lost = [seen for seen in some if seen.digest != one.digest]
            case NotFound():
                lost = [*some]
            # A tag that the patterns do not choose any more is not resolved, and may be there.
            case None if there is not None and tag not in there:
                lost = [*some]
            case _:
                lost = []
        yield from (Vanished(tag, seen.digest, seen.since) for seen in lost if not seen.gone)
