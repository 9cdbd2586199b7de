"""Estimates what an apply uses of the quotas of registries, without reading a manifest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import SourceError
from reconciler.frozen import Frozen
from reconciler.oci.spec import INDEX_TYPES, Digest, Platform
from reconciler.sources import quota_of
from reconciler.sources.quota import Spending, estimate

if TYPE_CHECKING:
    from reconciler.plan.image_work import ImageWork
    from reconciler.sources import OpenSource
    from reconciler.sources.quota import Quota
    from reconciler.target.index import MirrorIndex

_Known: TypeAlias = "tuple[Digest, tuple[Platform, ...] | None]"


class PullEstimate(Frozen):
    """How many manifests an apply fetches from a source; unless `exact`, an index among them may lead to more."""

    source: str
    pulls: int
    exact: bool


def estimate_pulls(
    works: Iterable[ImageWork], index: MirrorIndex, counted: set[Digest] | None = None
) -> Iterator[PullEstimate]:
    """Estimates what an apply of `works` fetches, from the mirror index and the tags' own descriptors.

    counted  images that need no fetch, e.g. of earlier targets of the run; grows by those that are counted here
    """
    there: dict[str, set[_Known]] = {}
    counted = set() if counted is None else counted
    for work in works:
        target, source = work.repository.target, work.repository.source
        if target not in there:
            there[target] = _known(index, target)
        # What another tag has already needs no request. With other platforms, its index leads to other manifests.
        if work.root.digest in counted or (work.root.digest, work.repository.platforms) in there[target]:
            yield PullEstimate(source, 0, exact=True)
        else:
            counted.add(work.root.digest)
            is_exact = work.root.media_type not in INDEX_TYPES
            yield PullEstimate(source, estimate(work.root, work.repository.platforms), is_exact)


def spendings(estimates: Iterable[PullEstimate], open_source: OpenSource) -> tuple[Spending, ...]:
    """Sums the estimates up for each registry that has reported a quota, by its name. Sends nothing."""
    sums: dict[str, PullEstimate] = {}
    for one in estimates:
        before = sums.get(one.source, PullEstimate(one.source, 0, exact=True))
        sums[one.source] = PullEstimate(one.source, before.pulls + one.pulls, before.exact and one.exact)
    found: dict[str, Spending] = {}
    for one in sums.values():
        quota = _quota(open_source, one.source)
        if quota:
            spent = found.get(quota.registry, Spending(quota, 0, exact=True))
            found[quota.registry] = Spending(quota, spent.pulls + one.pulls, spent.exact and one.exact)
    return tuple(found[name] for name in sorted(found))


def _quota(open_source: OpenSource, source: str) -> Quota | None:
    try:
        return quota_of(open_source(source))
    except SourceError:
        return None


def _known(index: MirrorIndex, target: str) -> set[_Known]:
    """The images that the mirror index has under the tags of a repository."""
    state = index.repositories.get(target)
    return {(one.digest, one.platforms) for one in state.tags.values()} if state else set()
