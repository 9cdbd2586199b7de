"""Computes how much a client downloads of an image, by platform. Pure: from manifests that were read anyway.

An image index states the platform of each of its manifests. A single manifest does not: its config does, a blob that is
never read here. So its size is listed under `UNKNOWN`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache

from reconciler.errors import Malformed
from reconciler.oci.image import walk
from reconciler.oci.spec import Descriptor, Digest, Index, Manifest, Platform

UNKNOWN = "unknown"

MAX_PLATFORMS = 64
"""Platforms of an image. Images in use have some twenty at most; an index that claims thousands is not recorded."""


def downloads(root: Digest, manifests: Mapping[Digest, Manifest | Index]) -> dict[str, int] | None:
    """Returns platform -> bytes of config and layers, each blob once, for the images of `root` in `manifests`.

    Foreign layers do not count, as they are not in the bucket; neither do attestations, as nobody runs them. Of several
    images for one platform, e.g. for versions of Windows, the largest counts. None if there is no image, or if there
    are more than `MAX_PLATFORMS`.
    """
    found: dict[str, int] = {}
    for platform, size in _images(root, manifests):
        name = str(platform) if platform else UNKNOWN
        found[name] = max(size, found.get(name, 0))
    return dict(sorted(found.items())) if 0 < len(found) <= MAX_PLATFORMS else None


def _images(root: Digest, manifests: Mapping[Digest, Manifest | Index]) -> Iterator[tuple[Platform | None, int]]:
    """Yields the platform of each image, as the nearest index above states it, and its bytes."""

    def read(descriptor: Descriptor, _: int) -> tuple[Platform | None, Manifest | Index] | None:
        parsed = manifests.get(descriptor.digest)
        return (descriptor.platform, parsed) if parsed else None

    def below(one: tuple[Platform | None, Manifest | Index]) -> Iterator[Descriptor]:
        platform, parsed = one
        if isinstance(parsed, Index):
            for child in parsed.manifests:
                if not child.attests:
                    yield replace(child, platform=child.platform or platform)

    for platform, parsed in walk([Descriptor("", root, 0)], read, below):
        # An index of blobs alone, e.g. a cache of BuildKit's, is downloaded as an image is.
        if isinstance(parsed, Manifest) or (parsed.blobs and not parsed.manifests):
            yield platform, sum(blob.size for blob in parsed.blobs)


@lru_cache(maxsize=1024)
def is_platform_name(text: str) -> bool:
    """Whether `text` is a key in the result of `downloads`. Cached: an index of 100,000 tags has few platforms."""
    if text == UNKNOWN:
        return True
    try:
        return str(Platform.parse(text)) == text
    except Malformed:
        return False
