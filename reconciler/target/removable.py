"""What a search for garbage found in a repository. Loads nothing of the search, which most runs do without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.target.layout import BlobKey, ManifestKey

if TYPE_CHECKING:
    from reconciler.oci.spec import Digest
    from reconciler.stores import Unfinished
    from reconciler.target.layout import Key


class Garbage(Frozen):
    """What can be removed from a repository, or has been.

    detached   lists and tags whose subject is not reached
    manifests  by digest, in steps: what refers to others goes before them
    blobs      with their sizes in bytes
    uploads    that were begun and never finished
    expired    retired digests that were kept for as long as `retain` says; the mirror index can forget them
    size       bytes of blobs and manifests
    """

    target: str
    manifests: tuple[tuple[Digest, ...], ...]
    blobs: Mapping[Digest, int]
    uploads: tuple[Unfinished, ...]
    expired: frozenset[Digest]
    size: int
    detached: tuple[Key, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.objects or self.uploads or self.expired)

    @property
    def objects(self) -> int:
        return len(self.detached) + sum(len(step) for step in self.manifests) + len(self.blobs)

    def steps(self) -> Iterator[Sequence[Key]]:
        """The objects in the order in which they are removed."""
        # An index goes before its images and those before their layers: if the run is killed in between, whatever can
        # still be pulled is complete. What is attached to a missing subject is in nobody's way, so it can go first.
        yield self.detached
        for digests in self.manifests:
            yield [ManifestKey(self.target, digest) for digest in digests]
        yield [BlobKey(self.target, digest) for digest in self.blobs]


class NotCollected(Frozen):
    """A repository in which nothing was removed, and why."""

    target: str
    error: str
