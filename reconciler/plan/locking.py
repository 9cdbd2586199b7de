"""Decides what mirrors.lock is to have: what a plan would want today. Prints nothing, and writes nothing.

    from reconciler.lockfile.model import NOTHING_LOCKED
    from reconciler.mirrors.load import load_mirrors
    from reconciler.plan.connections import connect
    from reconciler.plan.locking import lock_tags

    mirrors = load_mirrors(Path("mirrors.yaml"), os.environ)
    with connect(mirrors, os.environ) as connections:
        locking = lock_tags([(mirrors, connections)], NOTHING_LOCKED, {mirror.target for mirror in mirrors.mirrors})

Mirrors that are not named keep what is locked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.lockfile.changes import LockedChange, changes
from reconciler.lockfile.model import LockedRepository, LockedTag, Lockfile, patterns_of
from reconciler.mirrors.selection import select
from reconciler.plan.draft import HELD
from reconciler.plan.resolve import resolve
from reconciler.plan.settings import Choices, Resolving
from reconciler.plan.signatures import gate_for
from reconciler.plan.stored import stored_in
from reconciler.target.index import RepositoryState, Sighting
from reconciler.target.ledger import read_index
from reconciler.work.threads import RESOLVE_WORKERS, readers

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror, Mirrors
    from reconciler.plan.connections import Connections
    from reconciler.plan.desire import Desired
    from reconciler.target.index import MirrorIndex

NOT_WANTED = (HELD, "prune: false")
"""Why tags stay in the mirror that mirrors.yaml does not choose."""

VERDICTS = {"moved", "signature"}
"""Failures of single tags that are not about the source: what else it answered is to be relied on."""


class Locking(Frozen):
    """A new content of mirrors.lock.

    changes   what differs from the one before
    errors    what failed, with the target; such a repository keeps what was locked of it
    warnings  what deserves attention
    """

    lockfile: Lockfile
    changes: tuple[LockedChange, ...]
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def waiting(self) -> int:
        """The number of tags that wait for `min_age`."""
        return sum(len(one.waiting) for one in self.lockfile.repositories.values())


def lock_tags(stores: Iterable[tuple[Mirrors, Connections]], before: Lockfile, targets: Collection[str]) -> Locking:
    """Locks the tags of `targets` at what their sources have today, and keeps what is locked of the other mirrors.

    stores  what mirrors.yaml declares for each store; a mirror of several is locked by what the first of them has

    Raises as `reconciler.plan.make.make` does.
    """
    named: dict[str, Mirror] = {}
    found: dict[str, LockedRepository] = {}
    errors: list[str] = []
    warnings: list[str] = []
    for mirrors, connections in stores:
        here = {one.target: one for one in mirrors.mirrors if one.target not in named}
        named |= here
        wanted = here.keys() & set(targets)
        for desired, index in _resolved(mirrors, connections, before, wanted):
            state = index.repositories.get(desired.target, RepositoryState(desired.source))
            errors += [f"{desired.target}: {error}" for error in desired.errors]
            warnings += [f"{desired.target}: {warning}" for warning in desired.warnings]
            if set(desired.reasons) <= VERDICTS:
                found[desired.target] = locked_repository(here[desired.target], desired, state)
    kept = {target: one for target, one in before.repositories.items() if target in named}
    after = Lockfile(MappingProxyType({**kept, **found}))
    return Locking(after, tuple(changes(before, after)), tuple(errors), tuple(warnings))


def _resolved(
    mirrors: Mirrors, connections: Connections, before: Lockfile, targets: Collection[str]
) -> Iterator[tuple[Desired, MirrorIndex]]:
    if not targets:
        return
    observed = read_index(connections.target.state)
    index = with_sightings(observed.index, before)
    choices = Choices(tuple(sorted(targets)))
    resolving = Resolving(choices, gate_for(mirrors), lambda: observed.at, stored_in(connections.target))
    with readers(RESOLVE_WORKERS) as executor:
        for desired in resolve(mirrors, lambda: index, connections.open_source, executor, resolving):
            yield desired, index


def with_sightings(index: MirrorIndex, lockfile: Lockfile) -> MirrorIndex:
    """Returns `index` as if applies had seen the digests of `lockfile` since the times that it has for them.

    Applies with `--locked` note no digests, since they do not ask the sources for any: without this, none would ever
    be old enough for `min_age`.
    """
    repositories = dict(index.repositories)
    for target, locked in lockfile.repositories.items():
        state = repositories.get(target, RepositoryState(locked.source))
        seen = dict(state.seen)
        for tag, one in (*locked.tags.items(), *locked.waiting.items()):
            if one.since:
                seen[tag] = _seen(seen.get(tag, ()), Sighting(one.digest, one.since))
        if seen != state.seen:
            repositories[target] = replace(state, seen=MappingProxyType(seen))
    return replace(index, repositories=MappingProxyType(repositories))


def _seen(known: tuple[Sighting, ...], new: Sighting) -> tuple[Sighting, ...]:
    same = next((one for one in known if one.digest == new.digest), new)
    others = tuple(one for one in known if one.digest != new.digest)
    return (*others, replace(same, since=min(same.since, new.since)))


def locked_repository(mirror: Mirror, desired: Desired, observed: RepositoryState) -> LockedRepository:
    """Returns what is to be locked of a mirror: what a plan wants, and what it keeps because its source lost it."""
    recorded = observed.tags
    digests = {tag: recorded[tag].digest for tag in _held(mirror, desired, observed)}
    digests |= {tag: recorded[tag].digest for tag, why in desired.kept.items() if why not in NOT_WANTED}
    digests |= {tag: one.digest for tag, one in desired.wanted.items() if tag not in desired.held}
    names = {**{tag: one.source_tag for tag, one in recorded.items()}, **desired.names}
    tags = {tag: LockedTag(digest, source_tag=names.get(tag)) for tag, digest in digests.items()}
    if mirror.min_age:
        tags = {tag: _dated(tag, one, observed) for tag, one in tags.items()}
    waiting = {one.tag: LockedTag(one.digest, one.since) for one in desired.ages.waiting if one.until}
    return LockedRepository(mirror.source, patterns_of(mirror), tags, waiting)


def _held(mirror: Mirror, desired: Desired, observed: RepositoryState) -> set[str]:
    """The held tags that mirrors.yaml chooses: once they are released, an apply is not to prune them."""
    names = {observed.tags[tag].source_tag or tag: tag for tag in desired.held if tag in observed.tags}
    chosen = select(mirror.tags, mirror.exclude, (), names).chosen if names else ()
    return {names[one.tag] for one in chosen if one.tag in names}


def _dated(tag: str, one: LockedTag, observed: RepositoryState) -> LockedTag:
    """Adds when a digest was first seen, which an apply has to know until it has published it."""
    recorded = observed.tags.get(tag)
    if recorded and recorded.digest == one.digest:
        return one
    since = next((seen.since for seen in observed.seen.get(tag, ()) if seen.digest == one.digest), None)
    return replace(one, since=since)
