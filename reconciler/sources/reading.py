"""Reads the manifests of an image from where they are at hand, and only the others from the source.

At Docker Hub each manifest that is not fetched from the source is a pull saved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from reconciler.oci.spec import Descriptor, Digest

if TYPE_CHECKING:
    from reconciler.oci.image import Fetch
    from reconciler.sources import Contents


def stored_first(source: Contents, stored: Callable[[Digest], bytes | None], present: Mapping[Digest, int]) -> Fetch:
    """Returns a `Fetch` that reads manifests from the target if it has them, and from `source` otherwise.

    stored   reads a manifest from the target; None if it is not there. Bytes of another digest are fetched anew.
    present  the manifests listed in the target: digest -> size in bytes
    """

    def fetch(descriptor: Descriptor) -> bytes:
        # The listing saves a request for each manifest that is not there.
        if present.get(descriptor.digest) == descriptor.size:
            body = stored(descriptor.digest)
            if body is not None and descriptor.digest.matches(body):
                return body
        return source.manifest(descriptor)

    return fetch


def held_first(held: Mapping[Digest, bytes], fetch: Fetch, present: Mapping[Digest, int]) -> Fetch:
    """Returns a `Fetch` that takes manifests from `held` unless the target has them, and uses `fetch` for the others.

    held     manifests with verified digests, e.g. of a saved plan
    present  the manifests listed in the target: digest -> size in bytes
    """

    def first(descriptor: Descriptor) -> bytes:
        body = None if present.get(descriptor.digest) == descriptor.size else held.get(descriptor.digest)
        return fetch(descriptor) if body is None or len(body) != descriptor.size else body

    return first
