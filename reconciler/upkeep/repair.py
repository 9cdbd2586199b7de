"""Repairs the images of a repository that a check found broken: blobs first, then manifests, then tags.

Manifests that are intact are read from the bucket, all else is fetched from the source. Whether a repair has worked is
for another check to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from reconciler.apply.blob_transfer import copy_blob
from reconciler.apply.publish import publish_image
from reconciler.errors import LockLost, MirrorError, StoreDenied, StoreError
from reconciler.frozen import Frozen
from reconciler.oci.image import missing_blobs, read_image
from reconciler.oci.spec import Descriptor, Digest
from reconciler.sources.reading import stored_first
from reconciler.work.threads import each

if TYPE_CHECKING:
    from reconciler.sources import Contents
    from reconciler.target.protocol import Target
    from reconciler.upkeep.check import Report
    from reconciler.upkeep.roots import Root


STAYS_DAMAGED = (
    "its bytes are wrong, and the registry, which says that it has them, does not take them again; remove this blob "
    "from the registry's storage, or delete the image there and let the registry collect its garbage, then run "
    "`r2mirror verify --repair`"
)
"""The error for a blob that is damaged at a registry: nothing can replace it from outside."""


class Unrepaired(Frozen):
    """An image that could not be repaired, and why not. `name` is its first tag, or its digest if no tag is left."""

    target: str
    name: str
    error: str


def repair(destination: Target, report: Report, source: Contents, executor: Executor) -> Iterator[Unrepaired]:
    """Writes again what is broken in a repository; yields the images for which that failed."""
    repairing = _Repair(destination, report, source, executor)
    for root in report.hurt:
        try:
            repairing.restore(root)
        except (LockLost, StoreDenied):
            raise
        except MirrorError as error:
            yield Unrepaired(report.target, root.tags[0] if root.tags else str(root.digest), str(error))


class _Repair:
    """The repair of one repository. It keeps track of what is intact, so that no blob is fetched for two images."""

    def __init__(self, destination: Target, report: Report, source: Contents, executor: Executor) -> None:
        self._target = destination.repository(report.target)
        self._report = report
        self._source = source
        self._executor = executor
        self._blobs = _without(report.there.blobs, report.broken)
        self._manifests = _without(report.there.manifests, report.broken)

    def restore(self, root: Root) -> None:
        """Raises `SourceError`, `StoreError` and `Malformed`."""
        report = self._report
        what = f"{report.state.source}@{root.digest}"
        # Of a retired digest only the digest is known: its media type and size are the source's to tell.
        descriptor = root.descriptor or self._source.resolve(str(root.digest))
        image = read_image(self._fetch, what, descriptor, lambda index: root.choose(index, report.there))

        def is_sent(blob: Descriptor) -> bool:
            return copy_blob(self._source, self._target, what, blob, lambda _: None)

        copied = list(each(self._executor, is_sent, missing_blobs(image, self._blobs)))
        publish_image(self._target, image, root.tags, self._manifests)
        for blob, was_sent in copied:
            if not was_sent and blob.digest in report.broken:
                raise StoreError(self._target.blob_key(blob.digest), STAYS_DAMAGED)
        self._blobs.update({blob.digest: blob.size for blob in image.blobs})
        self._manifests.update({manifest.digest: len(manifest.body) for manifest in image.manifests})

    def _fetch(self, descriptor: Descriptor) -> bytes:
        """Reads a manifest from a tag's object, from under its digest if that is intact, or from the source."""
        body = self._report.bodies.get(descriptor.digest)
        if body is not None:
            return body
        return stored_first(self._source, self._target.manifest_body, self._report.there.manifests)(descriptor)


def _without(sizes: Mapping[Digest, int], broken: frozenset[Digest]) -> dict[Digest, int]:
    return {digest: size for digest, size in sizes.items() if digest not in broken}
