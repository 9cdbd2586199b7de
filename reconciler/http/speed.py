"""How fast bytes have to come for a connection to be worth its place, and how rates are spelled. Pure.

Only time spent waiting for bytes counts: not what is taken to write them away, and not the time to a first byte.
"""

from __future__ import annotations

import re

SLOWEST = 16 * 1024
"""Bytes a second below which a connection is given up by default: a layer of a GiB would take 18 hours."""

WINDOW = 30.0
"""Seconds of waiting over which the rate is taken."""

_RATE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(|[kKMG]|[KMG]i)B(?:/s)?")
_UNITS = {"": 1, "k": 1000, "K": 1000, "M": 1000**2, "G": 1000**3, "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}


def parse_rate(text: str) -> float:
    """Bytes a second, e.g. `20MiB/s`, `1.5 GB/s` or `500kB`. Raises ValueError with what to write instead."""
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a valid rate in bytes; write for example 20MiB/s or 500kB/s")
    return float(match[1]) * _UNITS[match[2]]


class Speed:
    """One connection, which may not fall below `floor` bytes a second."""

    def __init__(self, floor: float) -> None:
        self.floor = floor
        self.restart()

    def restart(self) -> None:
        """A request is sent: its server may think before the first byte."""
        self._waited = 0.0
        self._came = 0
        self._is_first = True

    def is_too_slow(self, size: int, seconds: float) -> bool:
        """Counts `size` bytes that were waited for so long. None at all is the end, which is never too slow."""
        if self._is_first:
            self._is_first = False
            return False
        self._waited += seconds
        self._came += size
        if self._waited < WINDOW:
            return False
        too_slow = size > 0 and self._came < self.floor * self._waited
        self._waited, self._came = 0.0, 0
        return too_slow

    def __str__(self) -> str:
        return f"it sends less than {self.floor:.0f} bytes a second"
