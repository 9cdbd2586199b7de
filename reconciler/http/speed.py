"""Measures whether a connection is too slow to keep, and parses rates. Pure.

Only the time spent waiting for bytes counts: not the time to write them, and not the time to the first byte.
"""

from __future__ import annotations

from reconciler.regex import expression

SLOWEST = 16 * 1024
"""Bytes a second. A slower connection is given up by default: a layer of 1 GiB would take 18 hours."""

WINDOW = 30.0
"""Seconds of waiting over which the rate is measured: a pause of a few seconds is common and harmless."""

_RATE = expression(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(|[kKMG]|[KMG]i)B(?:/s)?")
_UNITS = {"": 1, "k": 1000, "K": 1000, "M": 1000**2, "G": 1000**3, "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}


def parse_rate(text: str) -> float:
    """Parses bytes a second, e.g. `20MiB/s`, `1.5 GB/s` or `500kB`. Raises `ValueError` with an example."""
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a valid rate in bytes; write for example 20MiB/s or 500kB/s")
    return float(match[1]) * _UNITS[match[2]]


class Speed:
    """Measures one connection, which has to bring at least `floor` bytes a second."""

    def __init__(self, floor: float) -> None:
        self.floor = floor
        self.restart()

    def restart(self) -> None:
        """Begins anew for a request: the server may take its time before the first byte."""
        self._waited = 0.0
        self._came = 0
        self._is_first = True

    def is_too_slow(self, size: int, seconds: float) -> bool:
        """Counts `size` bytes after `seconds` of waiting. 0 bytes are the end of the stream, never too slow."""
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
