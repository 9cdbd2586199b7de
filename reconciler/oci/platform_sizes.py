"""How much a client downloads of an image, platform by platform. Pure: from manifests that were read anyway.

An image index says which platform each of its manifests is for. A manifest that stands alone does not: its config does,
which is a blob that is never read here. Its size is known all the same, under `UNKNOWN`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from reconciler.errors import Malformed
from reconciler.oci.spec import Index, Manifest, Platform

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.oci.spec import Digest

UNKNOWN = "unknown"

MAX_PLATFORMS = 64
"""Of an image. The widest that are pulled today have some twenty; an index that claims thousands is not noted down."""


def downloads(root: Digest, manifests: Mapping[Digest, Manifest | Index]) -> dict[str, int] | None:
    """Platform -> bytes of config and layers, each blob once, of the images below `root` that `manifests` has.

    Foreign layers do not count, for they are not in the bucket, and neither do attestations, which nobody runs. Of
    several images for one platform, as for versions of Windows, the largest counts. None where there is nothing to
    tell, or more than `MAX_PLATFORMS`.
    """
    found: dict[str, int] = {}
    for platform, size in _images(root, manifests, None, set()):
        name = str(platform) if platform else UNKNOWN
        found[name] = max(size, found.get(name, 0))
    return dict(sorted(found.items())) if 0 < len(found) <= MAX_PLATFORMS else None


def _images(
    digest: Digest, manifests: Mapping[Digest, Manifest | Index], platform: Platform | None, seen: set[Digest]
) -> Iterator[tuple[Platform | None, int]]:
    if digest in seen:
        return
    seen.add(digest)
    match manifests.get(digest):
        case Manifest() as manifest:
            yield platform, sum(blob.size for blob in manifest.blobs)
        case Index(manifests=(), blobs=blobs) if blobs:
            yield platform, sum(blob.size for blob in blobs)
        case Index(manifests=children):
            for child in children:
                if not child.attests:
                    yield from _images(child.digest, manifests, child.platform or platform, seen)
        case None:
            pass


@lru_cache(maxsize=1024)
def is_platform_name(text: str) -> bool:
    """Whether `text` is a key of what `downloads` gives. There are few of them, however many tags."""
    if text == UNKNOWN:
        return True
    try:
        return str(Platform.parse(text)) == text
    except Malformed:
        return False
