"""Where the manifests of an image are read from: what is at hand already comes before the source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from reconciler.oci.spec import Descriptor, Digest

if TYPE_CHECKING:
    from reconciler.oci.image import Fetch
    from reconciler.sources import Contents


def stored_first(source: Contents, stored: Callable[[Digest], bytes | None], present: Mapping[Digest, int]) -> Fetch:
    """Returns a `Fetch` that reads the manifests that the target holds from there, and only the others from `source`.

    stored   gives the target's bytes of a manifest, None if it is not there; bytes of another digest are fetched anew
    present  the target's manifests, digest -> size in bytes, as listed
    """

    def fetch(descriptor: Descriptor) -> bytes:
        if present.get(descriptor.digest) == descriptor.size:
            body = stored(descriptor.digest)
            if body is not None and descriptor.digest.matches(body):
                return body
        return source.manifest(descriptor)

    return fetch


def held_first(held: Mapping[Digest, bytes], fetch: Fetch, present: Mapping[Digest, int]) -> Fetch:
    """Returns a `Fetch` that takes manifests from `held`, unless they are `present` in the target, and else `fetch`es.

    held  manifests whose digests were verified, as those of a saved plan
    """

    def first(descriptor: Descriptor) -> bytes:
        body = None if present.get(descriptor.digest) == descriptor.size else held.get(descriptor.digest)
        return fetch(descriptor) if body is None or len(body) != descriptor.size else body

    return first
