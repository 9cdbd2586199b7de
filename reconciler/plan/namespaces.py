"""Lists the namespaces of a mirrors file, and adds a mirror for each repository there.

Only additions come from a list. What the mirror index has of a namespace and a list lacks stays as it is: lists are
cut short, come from APIs that fail, and depend on who is logged in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import BadAnswer, MirrorError, SourceError, UsageError
from reconciler.mirrors.model import EVERY, Failed
from reconciler.mirrors.only import matches_only
from reconciler.sources.namespaces import list_repositories
from reconciler.sources.namespaces.place import Place
from reconciler.target.kinds import open_target
from reconciler.target.layout import target_problem
from reconciler.target.ledger import read_index
from reconciler.words import count
from reconciler.work.deadline import Deadline
from reconciler.work.threads import RESOLVE_WORKERS, readers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.mirrors.model import Mirror, Mirrors, Namespace
    from reconciler.target.index import MirrorIndex

LONGEST = 300.0
"""Seconds for all lists together."""

NAMED = 3
"""How many repositories are named that a list lacks."""

Names: TypeAlias = "Callable[[Place], Iterable[str]]"


def listed(mirrors: Mirrors, environ: Mapping[str, str], names: Names = list_repositories) -> Mirrors:
    """Returns the file with a mirror for each repository that its namespaces have now.

    names  lists the repositories at a place

    A namespace that cannot be listed, or has more repositories than its entry may bring, is among `failed`, and has the
    mirrors of those that the mirror index has.
    """
    if not mirrors.namespaces:
        return mirrors
    deadline = Deadline(LONGEST)

    def repositories(namespace: Namespace) -> tuple[Mirror, ...] | Failed:
        registry, _, path = namespace.source.removesuffix(EVERY).rstrip("/").partition("/")
        place = Place(registry, path, mirrors.registries, environ, deadline)
        try:
            return _bounded(mirrors, namespace, names(place))
        except (SourceError, UsageError) as error:
            return Failed(namespace, str(error), error.reason)

    with readers(RESOLVE_WORKERS) as executor:
        answers = list(executor.map(repositories, mirrors.namespaces))
    failed = tuple(one for one in answers if isinstance(one, Failed))
    found = [one for answer in answers if not isinstance(answer, Failed) for one in answer]
    # Of two namespaces that have one target, the first one in the file has it.
    whole = mirrors.including({one.target: one.source for one in reversed(found)})
    return replace(_with_recorded(whole, failed, environ), failed=failed)


def recorded(mirrors: Mirrors, environ: Mapping[str, str]) -> Mirrors:
    """Returns the file with the mirrors of the repositories that the mirror index has of its namespaces."""
    if not mirrors.namespaces:
        return mirrors
    return mirrors.including(_recorded(mirrors, mirrors.namespaces, environ))


def unlisted(mirrors: Mirrors, index: MirrorIndex, only: Sequence[str]) -> Iterator[str]:
    """Warns of repositories that the mirror index has of a namespace, and that its list lacks."""
    missing: dict[str, list[str]] = {}
    named = {mirror.target for mirror in mirrors.mirrors}
    known = [one for one in mirrors.namespaces if one not in [failed.namespace for failed in mirrors.failed]]
    for target, state in sorted(index.repositories.items()):
        if target not in named and state.tags and mirrors.owns(target, state.owner) and matches_only(target, only):
            for one in known:
                if mirrors.mirror_of(target, state.source) and one.to_target(target):
                    missing.setdefault(one.source, []).append(target)
    for source, targets in missing.items():
        some = ", ".join(targets[:NAMED]) + (f" and {len(targets) - NAMED} more" if len(targets) > NAMED else "")
        yield f"{source} does not list {some}: left as it is; to prune it, add its name to exclude_repositories"


def _bounded(mirrors: Mirrors, namespace: Namespace, names: Iterable[str]) -> tuple[Mirror, ...]:
    """Returns the mirrors of a list. Raises `BadAnswer` if it is empty, `UsageError` if it has too many."""
    found: list[Mirror] = []
    is_empty = True
    for name in names:
        is_empty = False
        mirror = namespace.at(name)
        is_own = mirrors.mirror_of(mirror.target, mirror.source) != mirror
        if is_own or namespace.leaves_out(name) or target_problem(mirror.target):
            continue
        found.append(mirror)
        if len(found) > namespace.max_repositories:
            most = count(namespace.max_repositories, "repository", "repositories")
            why = f"has more than {most}: raise max_repositories, or leave some out by exclude_repositories"
            raise UsageError(f"{namespace.source} {why}; no new one is mirrored")
    if is_empty:
        raise BadAnswer(namespace.source, "the registry lists no repository there; check its name, or log in")
    return tuple(found)


def _with_recorded(mirrors: Mirrors, failed: Iterable[Failed], environ: Mapping[str, str]) -> Mirrors:
    namespaces = tuple(one.namespace for one in failed)
    return mirrors.including(_recorded(mirrors, namespaces, environ)) if namespaces else mirrors


def _recorded(mirrors: Mirrors, namespaces: Iterable[Namespace], environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the targets that the mirror indexes have of these namespaces, with their sources."""
    found: dict[str, str] = {}
    for one in mirrors.targets():
        # A store that fails is reported by what reads it next.
        with suppress(MirrorError):
            for target, state in _index(one, environ).repositories.items():
                mirror = mirrors.mirror_of(target, state.source)
                if mirror and one.owns(target, state.owner) and any(ns.to_target(target) for ns in namespaces):
                    found[target] = state.source
    return found


def _index(mirrors: Mirrors, environ: Mapping[str, str]) -> MirrorIndex:
    target = open_target(mirrors.store, environ, registries=mirrors.registries)
    try:
        return read_index(target.state).index
    finally:
        target.close()
