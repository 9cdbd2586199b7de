"""What the command line asks of its process's allocator and garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_M_ARENA_MAX = -8

_ALLOCATIONS = 150_000
"""Containers made, less those freed, before the collector looks: some 20 MiB. Start-up makes nearly as many."""


@contextmanager
def collected_rarely() -> Iterator[None]:
    """Has cycles looked for rarely, and none of those that are left when the process ends.

    Nearly all that imports, service models and the mirror index make lives as long as the process. Looking through it
    again and again, and once more at the end, was a fifth of a run that finds nothing new.
    """
    gc.set_threshold(_ALLOCATIONS, 20, 20)
    try:
        yield
    finally:
        gc.freeze()


def share_arenas() -> None:
    """Has all threads take memory from two arenas; glibc gives each its own, and 32 of them hold 60 MiB more then."""
    import ctypes

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
