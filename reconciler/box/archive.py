"""The bytes of a box: a tar that `tar` can list, of which nothing but the contents can differ. Pure.

    r2mirror-box.HEX.json      the manifest; HEX is its sha256
    blobs/sha256/HEX           the contents, in the manifest's order
    two blocks of zeros

A reader parses no header. It knows from the manifest which bytes each has to be, so that no name, link, size or order
in a box can mean anything that `export` would not have written.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from reconciler.errors import Malformed
from reconciler.frozen import Frozen
from reconciler.oci.spec import Digest

if TYPE_CHECKING:
    from reconciler.box.contents import Content

BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)


class Place(Frozen):
    """Where an entry is: `head` begins at `start`, and is followed by the bytes of `content`."""

    content: Content
    start: int
    head: bytes

    @property
    def data(self) -> int:
        return self.start + len(self.head)

    @property
    def end(self) -> int:
        """Where the next entry begins."""
        return self.data + padded(self.content.size)


def padded(size: int) -> int:
    """Returns the bytes that an entry of this size takes without its head."""
    return size + -size % BLOCK


def manifest_head(digest: Digest, size: int) -> bytes:
    """Returns the head of the first entry."""
    return _head(f"r2mirror-box.{digest.hex}.json", size)


def parse_manifest_head(head: bytes) -> tuple[Digest, int]:
    """Reads the head of the first entry: the digest and the size of the manifest. Raises `Malformed`."""
    what = "its first entry"
    try:
        info = tarfile.TarInfo.frombuf(head, tarfile.ENCODING, "surrogateescape")
        digest = Digest.parse(f"sha256:{info.name.removeprefix('r2mirror-box.').removesuffix('.json')}")
    except (tarfile.HeaderError, Malformed):
        raise Malformed(what, "is not the manifest of a box, which `r2mirror export` writes") from None
    if info.size < 0 or head != manifest_head(digest, info.size):
        raise Malformed(what, "has another head than the one that `r2mirror export` writes")
    return digest, info.size


def places(manifest_size: int, contents: Sequence[Content]) -> Iterator[Place]:
    """Yields where each of the contents is, in a box with a manifest of this size."""
    start = BLOCK + padded(manifest_size)
    for content in contents:
        algorithm, name = content.digest.algorithm, content.digest.hex
        place = Place(content, start, _head(f"blobs/{algorithm}/{name}", content.size))
        yield place
        start = place.end


def _head(name: str, size: int) -> bytes:
    # GNU's format: it has no limit for the size, and a head of its own for the longer names of sha512.
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)
