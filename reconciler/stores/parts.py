"""Into how many parts, of which size, an object is cut that is too long for one request. Pure."""

from __future__ import annotations

MIB = 1024 * 1024

PART_SIZE = 8 * MIB
"""Bytes of a part, unless the object would then have more than `MAX_PARTS`. R2 and S3 take 5 MiB to 5 GiB."""

MAX_PARTS = 10_000

MAX_PART_SIZE = 64 * MIB
"""Bytes of a part at the most, for one has to be held in memory whatever a manifest says of its layers."""

MAX_SIZE = MAX_PARTS * MAX_PART_SIZE
"""Bytes of an object, 625 GiB. R2 and S3 would take 5 TiB, in parts of 525 MiB."""


COPY_PART = 1024 * MIB
"""Bytes that one request has the server copy. R2 takes 4.995 GiB, but the answer has to come within `READ_TIMEOUT`."""


def part_size(size: int) -> int:
    """Returns the bytes of each part but the last, in whole MiB, for an object of `size` bytes."""
    return max(PART_SIZE, -(-size // (MAX_PARTS * MIB)) * MIB)


def parts(size: int) -> int:
    """Counts the parts in which a stream of `size` bytes is uploaded; 0: in one PutObject."""
    each = part_size(size)
    return -(-size // each) if size > each else 0


def parts_copied(size: int) -> int:
    """Counts the parts in which the server copies an object of `size` bytes; 0: in one CopyObject."""
    return -(-size // COPY_PART) if size > COPY_PART else 0
