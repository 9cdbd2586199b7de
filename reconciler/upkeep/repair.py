"""Repairs what `verify` finds: a damaged image is read again, from the bucket where it is sound, else from its source,
and its pieces are written again: blobs, then manifests, then tags.

A repair counts only after it was verified in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from reconciler.apply.copy import copy_blob, publish_image
from reconciler.errors import LockLost, MirrorError, StoreDenied
from reconciler.oci.image import missing_blobs, read_image
from reconciler.oci.spec import Descriptor, Digest
from reconciler.sources.reading import stored_first
from reconciler.target.catalog import published_lists
from reconciler.target.inventory import INDEX_GONE
from reconciler.target.layout import MIRROR_INDEX
from reconciler.target.lists import publish_lists
from reconciler.target.repository import Repository
from reconciler.upkeep.verify import Finding, Problem, Report, Root, check_lists, check_repository, unknown_tags
from reconciler.work.threads import each

if TYPE_CHECKING:
    from reconciler.sources import Contents, OpenSource
    from reconciler.stores import Store
    from reconciler.target.index import MirrorIndex


@dataclass(frozen=True)
class Unrepaired:
    """An image that could not be repaired, and why not. `name` is its first tag, or its digest if no tag is left."""

    target: str
    name: str
    error: str


@dataclass(frozen=True)
class Verification:
    """What was found, and what of it was put right.

    `repositories` and `tags` count what was looked at; `foreign` names repositories of the bucket that are not ours.
    """

    repositories: int
    tags: int
    foreign: frozenset[str]
    findings: tuple[Finding, ...]
    repaired: frozenset[Finding] = frozenset()
    unrepaired: tuple[Unrepaired, ...] = ()

    @property
    def open(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding not in self.repaired)


@dataclass
class _Found:
    findings: list[Finding] = field(default_factory=list)
    repaired: set[Finding] = field(default_factory=set)
    unrepaired: list[Unrepaired] = field(default_factory=list)


def verify(
    store: Store,
    index: MirrorIndex,
    wanted: Callable[[str], bool],
    executor: Executor,
    *,
    deep: bool = False,
    open_source: OpenSource | None = None,
) -> Verification:
    """Compares the bucket with the mirror index, one repository after the other; repairs it if there are sources.

    Raises `StoreError` where the store itself gives way.
    """
    found = _Found()
    states = {target: state for target, state in index.repositories.items() if wanted(target)}
    for target, state in states.items():
        report = check_repository(store, target, state, executor, deep=deep)
        found.findings += report.findings
        if (report.hurt or report.lists) and open_source:
            found.unrepaired += repair(store, report, open_source(state.source), executor)
            after = check_repository(store, target, state, executor, deep=deep)
            if after.lists:
                Repository(store, target).publish(after.lists)
                after = check_repository(store, target, state, executor, deep=deep)
            found.repaired.update(set(report.findings) - set(after.findings))
    lists = list(check_lists(store, index, states, executor)) if index.serial else []
    found.findings += lists
    if lists and open_source:
        publish_lists(store, published_lists(index, states), executor)
        found.repaired.update(set(lists) - set(check_lists(store, index, states, executor)))
    unknown, foreign = unknown_tags(store, index, wanted)
    tags = sum(len(state.tags) for state in states.values())
    findings = (*found.findings, *unknown)
    return Verification(len(states), tags, foreign, findings, frozenset(found.repaired), tuple(found.unrepaired))


def without_index(found: Verification, targets: Collection[str]) -> Verification:
    """What was found where there is no mirror index: it is gone if the bucket has one of the repositories `targets`."""
    lost = min(found.foreign.intersection(targets), default=None)
    if lost is None:
        return found
    gone = Finding(None, MIRROR_INDEX, Problem.MISSING, INDEX_GONE.format(lost))
    return replace(found, findings=(gone, *found.findings))


def repair(store: Store, report: Report, source: Contents, executor: Executor) -> Iterator[Unrepaired]:
    """Writes again what is broken in a repository; yields the images for which that failed."""
    repairing = _Repair(store, report, source, executor)
    for root in report.hurt:
        try:
            repairing.restore(root)
        except (LockLost, StoreDenied):
            raise
        except MirrorError as error:
            yield Unrepaired(report.target, root.tags[0] if root.tags else str(root.digest), str(error))


class _Repair:
    """One repository: what is right in it grows as its images are restored, so that no blob is fetched twice."""

    def __init__(self, store: Store, report: Report, source: Contents, executor: Executor) -> None:
        self._target = Repository(store, report.target)
        self._report = report
        self._source = source
        self._executor = executor
        self._blobs = _without(report.there.blobs, report.broken)
        self._manifests = _without(report.there.manifests, report.broken)

    def restore(self, root: Root) -> None:
        """Raises `SourceError`, `StoreError` and `Malformed`."""
        report = self._report
        what = f"{report.state.source}@{root.digest}"
        descriptor = root.descriptor or self._source.resolve(str(root.digest))
        image = read_image(self._fetch, what, descriptor, lambda index: root.choose(index, report.there))

        def copy(blob: Descriptor) -> None:
            copy_blob(self._source, self._target, what, blob, lambda _: None)

        for _ in each(self._executor, copy, missing_blobs(image, self._blobs)):
            pass
        publish_image(self._target, image, root.tags, self._manifests)
        self._blobs.update({blob.digest: blob.size for blob in image.blobs})
        self._manifests.update({manifest.digest: len(manifest.body) for manifest in image.manifests})

    def _fetch(self, descriptor: Descriptor) -> bytes:
        """From a tag's object, from under its digest where only its headers are wrong, or from the source."""
        body = self._report.bodies.get(descriptor.digest)
        if body is not None:
            return body
        return stored_first(self._source, self._target.manifest_body, self._report.there.manifests)(descriptor)


def _without(sizes: dict[Digest, int], broken: frozenset[Digest]) -> dict[Digest, int]:
    return {digest: size for digest, size in sizes.items() if digest not in broken}
