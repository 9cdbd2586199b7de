"""How much a client downloads of an image, platform by platform. Pure: from manifests that were read anyway.

An image index says which platform each of its manifests is for. A manifest that stands alone does not: its config does,
which is a blob that is never read here. Its size is known all the same, under `UNKNOWN`.
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
"""Of an image. The widest that are pulled today have some twenty; an index that claims thousands is not noted down."""


def downloads(root: Digest, manifests: Mapping[Digest, Manifest | Index]) -> dict[str, int] | None:
    """Platform -> bytes of config and layers, each blob once, of the images below `root` that `manifests` has.

    Foreign layers do not count, for they are not in the bucket, and neither do attestations, which are not run. Of
    several images for one platform, as for versions of Windows, the largest counts. None where there is nothing to
    tell, or more than `MAX_PLATFORMS`.
    """
    found: dict[str, int] = {}
    for platform, size in _images(root, manifests):
        name = str(platform) if platform else UNKNOWN
        found[name] = max(size, found.get(name, 0))
    return dict(sorted(found.items())) if 0 < len(found) <= MAX_PLATFORMS else None


def _images(root: Digest, manifests: Mapping[Digest, Manifest | Index]) -> Iterator[tuple[Platform | None, int]]:
    """The platform of each image, as the nearest index above it says, with its bytes."""

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
        if isinstance(parsed, Manifest) or (parsed.blobs and not parsed.manifests):
            yield platform, sum(blob.size for blob in parsed.blobs)


@lru_cache(maxsize=1024)
def is_platform_name(text: str) -> bool:
    """Whether `text` is a key of what `downloads` gives. There are few of them, however many tags."""
    if text == UNKNOWN:
        return True
    try:
        return str(Platform.parse(text)) == text
    except Malformed:
        return False
