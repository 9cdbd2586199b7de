"""Tells what r2mirror has published from what other writers of a target have. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from reconciler.target.index import RepositoryState

if TYPE_CHECKING:
    from reconciler.oci.spec import Digest
    from reconciler.target.index import MirrorIndex
    from reconciler.target.protocol import Knows


def own_digests(
    index: Callable[[], MirrorIndex], wanted: Mapping[tuple[str, str], Digest] = MappingProxyType({})
) -> Knows:
    """Returns what tells r2mirror's own digests, by the mirror index, from those of other writers.

    index   gives the index as it is
    wanted  repository and tag -> what it is to point to: an earlier run may have written that and not recorded it

    A tag that was pending when this was called counts as ours, too: a run that was killed may have written it.
    """
    cut_off = {target: one.pending for target, one in index().repositories.items() if one.pending}

    def knows(repository: str, tag: str, digest: Digest) -> bool:
        state = index().repositories.get(repository, RepositoryState(""))
        if digest in state.digests or wanted.get((repository, tag)) == digest or tag in cut_off.get(repository, ()):
            return True
        came_along = (one.tags.get(tag) for record in state.attachments.values() for one in record.values())
        return any(one and one.digest == digest for one in came_along)

    return knows
