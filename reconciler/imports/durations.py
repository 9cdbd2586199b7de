"""Spells durations of Go's as mirrors.yaml does. Pure."""

from __future__ import annotations

import re

_SECONDS = {"h": 3600, "m": 60, "s": 1}


def every(text: str) -> str:
    """Spells a duration, e.g. `90m` for `1h30m`; empty if mirrors.yaml cannot say it."""
    if not re.fullmatch(r"(?:[0-9]{1,6}[hms])+", text):
        return ""
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"([0-9]+)([hms])", text))
    unit = next((unit for unit in ("h", "m", "s") if seconds % _SECONDS[unit] == 0), "s")
    return f"{seconds // _SECONDS[unit]}{unit}" if 0 < seconds // _SECONDS[unit] < 1_000_000 else ""
