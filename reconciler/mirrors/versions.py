"""Parses tags as versions, and orders them. Pure.

Docker tags are not strict semantic versions. Here a tag is a version if it is

    [v]N[.N[.N[.N]]]  then any number of suffixes, each after `-`, `_` or `+`

A suffix that is a pre-release word with an optional number (rc1, beta.2, alpha) makes it a pre-release, and may be
glued to the numbers (1.22rc1). Nothing else may, or many a commit hash would be a version (7f3e2a1). The other
suffixes, joined by `-`, are its variant: `1.27.3-alpine3.20` is version 1.27.3 of variant `alpine3.20`. Numbers that
are not written count as 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering
from typing import Any

_VERSION = re.compile(
    r"v?(?P<numbers>[0-9]+(?:\.[0-9]+){0,3})(?P<glued>[A-Za-z][A-Za-z0-9.]*)?(?P<rest>(?:[-_+][A-Za-z0-9.]+)*)"
)
_PRERELEASE = re.compile(
    r"(?P<word>alpha|beta|preview|pre|rc|cr|dev|snapshot|nightly|canary|milestone|next|ea|a|b|c|m)[.]?(?P<number>[0-9.]*)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[0-9]+")


@total_ordering
@dataclass(frozen=True, eq=True)
class Version:
    """A tag read as a version. `numbers` are its four numbers; `written` is how many of them the tag has.

    `prerelease` is empty for a release. Versions compare by their numbers, then pre-releases before the release, then
    by what the pre-release says; of equal ones the tag that is written out further (3.20.0 before 3.20) is the newer.
    """

    tag: str
    numbers: tuple[int, int, int, int]
    written: int
    prerelease: tuple[tuple[str, tuple[int, ...]], ...]
    variant: str

    @property
    def _order(self) -> tuple[object, ...]:
        return (self.numbers, not self.prerelease, self.prerelease, self.written, self.tag)

    def __lt__(self, other: Version) -> bool:
        return self._order < other._order


_LONGEST_TAG = 128


def parse_version(tag: str) -> Version | None:
    """Parses a tag as a version. Returns None if it is not one."""
    match = _VERSION.fullmatch(tag) if len(tag) <= _LONGEST_TAG else None
    if not match or (match["glued"] and not _PRERELEASE.fullmatch(match["glued"])):
        return None
    numbers = [int(number) for number in match["numbers"].split(".")]
    padded = (*numbers, 0, 0, 0)[:4]
    suffixes = [match["glued"]] if match["glued"] else []
    suffixes += re.split(r"[-_+]", match["rest"])[1:]
    prerelease: list[tuple[str, tuple[int, ...]]] = []
    variant: list[str] = []
    for suffix in suffixes:
        # `rc-1` is one pre-release in two suffixes, as `rc1` and `rc.1` are in one.
        word = _PRERELEASE.fullmatch(suffix)
        if word:
            prerelease.append((word["word"].lower(), tuple(int(n) for n in _NUMBER.findall(word["number"]))))
        elif prerelease and not variant and _NUMBER.fullmatch(suffix):
            word_before, counted = prerelease[-1]
            prerelease[-1] = (word_before, (*counted, int(suffix)))
        else:
            variant.append(suffix)
    a, b, c, d = padded
    return Version(tag, (a, b, c, d), len(numbers), tuple(prerelease), "-".join(variant))


def in_order(tag: str) -> tuple[Any, ...]:
    """Returns a key to sort tags for people: versions from the oldest on, then other names, `b9` before `b10`."""
    version = parse_version(tag)
    if version:
        return (0, *version._order)
    # Digits and the rest take turns, so that a number is only ever compared with a number.
    return (1, [int(part) if part.isdigit() else part for part in re.split(r"([0-9]+)", tag)], tag)
