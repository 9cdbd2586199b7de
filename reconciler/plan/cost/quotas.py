"""What an apply takes of the quotas of registries, as far as that can be told without reading a manifest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import SourceError
from reconciler.oci.spec import INDEX_TYPES, Digest, Platform
from reconciler.sources import quota_of
from reconciler.sources.quota import Spending, estimate

if TYPE_CHECKING:
    from reconciler.plan.image_work import ImageWork
    from reconciler.sources import OpenSource
    from reconciler.sources.quota import Quota
    from reconciler.target.index import MirrorIndex

_Known: TypeAlias = "tuple[Digest, tuple[Platform, ...] | None]"


@dataclass(frozen=True)
class Take:
    """So many manifests that an apply fetches from `source`; not `exact`: as far as can be told."""

    source: str
    pulls: int
    exact: bool


def guess(works: Iterable[ImageWork], index: MirrorIndex) -> Iterator[Take]:
    """What an apply of `works` fetches, as far as the mirror index and the tags' own descriptors tell."""
    there: dict[str, set[_Known]] = {}
    counted: set[Digest] = set()
    for work in works:
        target, source = work.repository.target, work.repository.source
        if target not in there:
            there[target] = _known(index, target)
        if work.root.digest in counted or (work.root.digest, work.repository.platforms) in there[target]:
            yield Take(source, 0, exact=True)
        else:
            counted.add(work.root.digest)
            is_exact = work.root.media_type not in INDEX_TYPES
            yield Take(source, estimate(work.root, work.repository.platforms), is_exact)


def spendings(takes: Iterable[Take], open_source: OpenSource) -> tuple[Spending, ...]:
    """What `takes` are of each quota that a source has told of, by registry. Sends nothing."""
    sums: dict[str, Take] = {}
    for take in takes:
        before = sums.get(take.source, Take(take.source, 0, exact=True))
        sums[take.source] = Take(take.source, before.pulls + take.pulls, before.exact and take.exact)
    found: dict[str, Spending] = {}
    for take in sums.values():
        quota = _quota(open_source, take.source)
        if quota:
            spent = found.get(quota.registry, Spending(quota, 0, exact=True))
            found[quota.registry] = Spending(quota, spent.pulls + take.pulls, spent.exact and take.exact)
    return tuple(found[name] for name in sorted(found))


def _quota(open_source: OpenSource, source: str) -> Quota | None:
    try:
        return quota_of(open_source(source))
    except SourceError:
        return None


def _known(index: MirrorIndex, target: str) -> set[_Known]:
    """The images that tags of a repository have already, by the mirror index."""
    state = index.repositories.get(target)
    return {(one.digest, one.platforms) for one in state.tags.values()} if state else set()
