"""Resolves the mirrors: what their patterns mean today, and what the bucket should therefore hold.

In one line: the answers of the sources (`rounds`), what they mean for each tag (`draft`), without the images that are
not signed as required (`signatures`), decided (`desire`). All but the first and the third step are pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.errors import SourceError
from reconciler.mirrors.only import check_only, matches_only
from reconciler.plan.desire import Desired, desire, desire_no_more, desire_nothing
from reconciler.plan.findings import draft_of
from reconciler.plan.rounds import Rounds
from reconciler.plan.settings import PLAINLY
from reconciler.plan.signatures import check_signatures
from reconciler.plan.witnesses import Witnesses

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror, Mirrors
    from reconciler.plan.settings import Resolving
    from reconciler.sources import OpenSource
    from reconciler.target.index import MirrorIndex


def resolve(
    mirrors: Mirrors,
    read: Callable[[], MirrorIndex],
    open_source: OpenSource,
    executor: Executor,
    resolving: Resolving = PLAINLY,
) -> tuple[Desired, ...]:
    """Returns every repository of the mirrors and of the index as it should be, sorted by target.

    `read` reads the mirror index; it runs beside the first requests. Raises whatever it raises, and `UsageError` for a
    glob that matches nothing; never `SourceError`.
    """
    choices, gate = resolving.choices, resolving.gate
    wanted = [mirror for mirror in mirrors.mirrors if matches_only(mirror.target, choices.only)]
    _open_each(wanted, open_source)
    reading = executor.submit(read)
    check_only(choices.only, mirrors, lambda: reading.result().repositories)
    with Witnesses(open_source, gate, resolving.hub) as witnesses:
        rounds = Rounds(wanted, reading, open_source, executor, witnesses, resolving)
        rounds.choose()
        resolving.meanwhile()
        found = rounds.findings()
    drafts = [draft_of(one, mirrors.name) for one in found]
    drafts = check_signatures(drafts, open_source, executor, gate, recheck=choices.recheck)
    # The index has whole seconds: a date that was rounded only there would differ from the plan's.
    at = resolving.now().replace(microsecond=0)
    desired = [desire(one, at) for one in drafts]
    others = (*_unnamed(mirrors, reading.result(), choices.only), *_unlisted(mirrors, choices.only))
    return tuple(sorted((*desired, *others), key=lambda one: one.target))


def _open_each(mirrors: Sequence[Mirror], open_source: OpenSource) -> None:
    """Opens the sources on this thread, which imports what they need.

    Reading the index may import the same modules on its thread, and two threads that import at once can each find a
    module half loaded. A source that cannot be opened fails again, and is reported, at its first request.
    """
    for mirror in mirrors:
        with suppress(SourceError):
            open_source(mirror.source)


def _unlisted(mirrors: Mirrors, only: Sequence[str]) -> Iterator[Desired]:
    """The namespaces that could not be listed, each as a repository in which nothing changes."""
    for one in mirrors.failed:
        if matches_only(one.namespace.target, only):
            yield desire_no_more(one)


def _unnamed(mirrors: Mirrors, index: MirrorIndex, only: Sequence[str]) -> Iterator[Desired]:
    """The repositories of the index that belong to the mirrors file and that it no longer names."""
    named = {mirror.target for mirror in mirrors.mirrors}
    # A source that is mirrored under a new target was moved by the edit; its prunes say so.
    moved = {mirror.source: mirror.target for mirror in mirrors.mirrors if mirror.target not in index.repositories}
    for target, observed in index.repositories.items():
        # A namespace still names what its list lacks, or what was not listed at all.
        is_named = target in named or mirrors.mirror_of(target, observed.source) is not None
        is_ours = not is_named and mirrors.owns(target, observed.owner)
        if is_ours and (observed.tags or observed.pending or observed.seen) and matches_only(target, only):
            yield desire_nothing(target, observed, moved.get(observed.source), prune=mirrors.defaults.prune)
