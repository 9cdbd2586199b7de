"""Makes a mirrors file mean exactly what mirrors.lock has, and finds where the two have drifted apart. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.errors import PlanRefused
from reconciler.lockfile.model import is_current
from reconciler.mirrors.only import matches_only
from reconciler.mirrors.patterns import Locked, Pinned

if TYPE_CHECKING:
    from reconciler.lockfile.model import LockedRepository, LockedTag, Lockfile
    from reconciler.mirrors.model import Mirror, Mirrors

SHOWN = 10
"""How many reasons are shown."""


def stale(mirrors: Mirrors, lockfile: Lockfile) -> Iterator[tuple[str, str]]:
    """Yields the targets whose tags have to be locked again, or not any more, each with the reason."""
    mirrors = mirrors.including({target: one.source for target, one in lockfile.repositories.items()})
    for mirror in mirrors.mirrors:
        locked = lockfile.repositories.get(mirror.target)
        if locked is None:
            yield mirror.target, "mirrors.yaml has this target, and the lockfile does not; run `r2mirror lock`"
        elif not is_current(mirror, locked):
            changed = "its source, tags, exclude or rename has changed in mirrors.yaml since it was locked"
            yield mirror.target, f"{changed}; run `r2mirror lock`"
    named = {mirror.target for mirror in mirrors.mirrors}
    for target in sorted(lockfile.repositories.keys() - named):
        yield target, "mirrors.yaml no longer has this target; run `r2mirror lock`"


def at_lockfile(mirrors: Mirrors, lockfile: Lockfile, file: str, only: Sequence[str] = ()) -> Mirrors:
    """Returns `mirrors` with the tags and digests of `lockfile` in the place of its patterns.

    Raises `PlanRefused` if a target of the run, which `only` limits, is not locked as mirrors.yaml has it now.
    """
    reasons = [f"{target}: {why}" for target, why in stale(mirrors, lockfile) if matches_only(target, only)]
    if reasons:
        more = [f"... and {len(reasons) - SHOWN} more"] if len(reasons) > SHOWN else []
        raise PlanRefused((f"{file}: is not up to date with mirrors.yaml:", *reasons[:SHOWN], *more))
    repositories = lockfile.repositories
    at = [_at(one, repositories[one.target]) if one.target in repositories else one for one in mirrors.mirrors]
    return replace(mirrors, mirrors=tuple(at))


def _at(mirror: Mirror, locked: LockedRepository) -> Mirror:
    named = mirror.named

    def pattern(name: str, one: LockedTag) -> Pinned:
        pin = named.get(name)
        # A pin of mirrors.yaml stays one: a person has vouched for it.
        if isinstance(pin, Pinned) and pin.digest == one.digest and mirror.rename is None:
            return pin
        return Locked(one.source_tag or name, one.digest, one.since, name in named, name if one.source_tag else None)

    return replace(mirror, tags=tuple(pattern(*one) for one in locked.tags.items()), exclude=())
