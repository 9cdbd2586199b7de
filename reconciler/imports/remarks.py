"""Finds the comments of a file, which go along with what they stand beside. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection
from typing import TYPE_CHECKING

from reconciler.regex import expression

if TYPE_CHECKING:
    from reconciler.mirrors.document import Document, KeyPath

_ALONE = expression(r"\s*#+\s*(?P<text>.*?)\s*")
_BEHIND = expression(r"[^'\"#]*\s#+\s*(?P<text>.*?)\s*")
_SECRET = expression(r"pass|secret|token|cred|auth|user|key|login|private", re.IGNORECASE)
"""Credentials are not copied, also where they stand in comments."""


def remarks(document: Document, places: Collection[KeyPath]) -> dict[KeyPath, list[str]]:
    """Returns the comments right above the values at `places` and inside of them."""
    starts, ends = _extents(document, set(places))
    order = sorted(places, key=lambda place: starts[place])
    first = [starts[place] for place in order]
    found: defaultdict[KeyPath, list[str]] = defaultdict(list)
    lines = document.body.decode(errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        text = _comment(line) if "#" in line else ""
        if not text:
            continue
        before = bisect_right(first, number) - 1
        if before >= 0 and number <= ends[order[before]]:
            found[order[before]].append(text)
        elif _ALONE.fullmatch(line):
            after = bisect_left(first, number)
            if after < len(order) and all(_ALONE.fullmatch(one) for one in lines[number : first[after] - 1]):
                found[order[after]].append(text)
    return found


def _extents(document: Document, places: set[KeyPath]) -> tuple[dict[KeyPath, int], dict[KeyPath, int]]:
    """The first and the last line of each value."""
    starts: dict[KeyPath, int] = {}
    ends: dict[KeyPath, int] = {}
    for place, written in document.written.items():
        for length in range(len(place) + 1):
            around = place[:length]
            if around in places:
                starts[around] = min(starts.get(around, written.key_line), written.key_line)
                ends[around] = max(ends.get(around, 0), written.line)
    return starts, ends


def _comment(line: str) -> str:
    match = _ALONE.fullmatch(line) or _BEHIND.fullmatch(line)
    text = match["text"] if match else ""
    return "" if _SECRET.search(text) else text
