"""Parses tags as versions, and orders them. Pure.

Docker tags are not strict semantic versions. Here a tag is a version if it is

    [v]N[.N ...]  then any number of suffixes, each after `-`, `_` or `+`

Of the suffixes,

- a pre-release word with an optional number (rc1, beta.2, alpha) makes it a pre-release. It may be glued to the numbers
  (1.22rc1) or come after a dot (27.0.0.Beta1). No other word may be glued, or many a commit hash would be a version
  (7f3e2a1)
- what changes from release to release counts in the order, after the numbers: a build, a revision, a date (_9, -r12,
  -ce.0, -20230802)
- a hash and the words of a release (.Final) are passed over
- the others, joined by `-`, are the variant: `1.27.3-alpine3.20` is version 1.27.3 of variant `alpine3.20`

Numbers that are not written count as 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache, total_ordering
from typing import Any, TypeAlias

from reconciler.regex import expression

MAX_NUMBERS = 16

Numbers: TypeAlias = tuple[int, ...]
Prerelease: TypeAlias = tuple[tuple[str, Numbers], ...]
Release: TypeAlias = tuple[Numbers, bool, Prerelease, Numbers]
"""What orders versions, and is equal for all tags of one version."""

_VERSION = expression(
    rf"[vV]?(?P<numbers>[0-9]+(?:\.[0-9]+){{0,{MAX_NUMBERS - 1}}})"
    r"(?:(?P<glued>[A-Za-z][A-Za-z0-9.]*)|\.(?P<dotted>[A-Za-z][A-Za-z0-9.]*))?"
    r"(?P<rest>(?:[-_+][A-Za-z0-9.]+)*)"
)
_PRERELEASE = expression(
    r"(?P<word>alpha|beta|preview|pre|rc|cr|dev|snapshot|nightly|canary|milestone|next|ea|a|b|c|m)[.]?(?P<number>[0-9.]*)",
    re.IGNORECASE,
)
_NUMBER = expression(r"[0-9]+")
_COUNTED = expression(r"[0-9]+(?:\.[0-9]+)*")
_DATE = expression(r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[0-9]{2}){0,3}(?:\.[0-9]+)?")
_REVISION = expression(
    r"(?:build|hotfix|k3s|ls|p|patch|pl|post|r|rev|revision|rke2r|sp|sr)[.]?[0-9]+(?:\.[0-9]+)*", re.IGNORECASE
)
_DOTTED_REVISION = expression(r"(?:[A-Za-z][A-Za-z0-9]*)?[A-Za-z]\.[0-9]+")
_RELEASED = expression(r"final|release|ga", re.IGNORECASE)
_HASH = expression(r"g?[0-9a-f]{7,40}")
_HASH_OF_DIGITS = expression(r"[0-9]{7,8}|[0-9]{40}")
"""Digits alone are a short hash or a whole one, unless they are a date. Those of other lengths are a build's number."""


@total_ordering
@dataclass(frozen=True, eq=True, slots=True)
class Version:
    """A tag read as a version. Versions compare by their releases.

    numbers     those that are written
    prerelease  empty for a release
    revision    the numbers of what changes from release to release, e.g. (2, 20231102) of rke2r2-build20231102
    variant     what remains of the suffixes
    suffix      all of them but the pre-release, as they are written
    """

    tag: str
    numbers: Numbers
    prerelease: Prerelease = ()
    revision: Numbers = ()
    variant: str = ""
    suffix: str = ""

    @property
    def release(self) -> Release:
        """Compares by numbers, then pre-releases before the release, then by what follows."""
        return (_significant(self.numbers), not self.prerelease, self.prerelease, self.revision)

    @property
    def _order(self) -> tuple[object, ...]:
        # Of equal ones the tag that is written out further (3.20.0 before 3.20) is the newer.
        return (*self.release, len(self.numbers), self.tag)

    def __lt__(self, other: Version) -> bool:
        return self._order < other._order


_LONGEST_TAG = 128


def parse_version(tag: str) -> Version | None:
    """Parses a tag as a version. Returns None if it is not one."""
    match = _VERSION.fullmatch(tag) if len(tag) <= _LONGEST_TAG else None
    if not match:
        return None
    written, glued, dotted, rest = match.groups()
    numbers = tuple(map(int, written.split(".")))
    if not (glued or dotted or rest):
        return Version(tag, numbers)
    suffixes = _suffixes(glued, dotted, rest)
    return Version(tag, numbers, *suffixes) if suffixes else None


def in_order(tag: str) -> tuple[Any, ...]:
    """Returns a key to sort tags for people: versions from the oldest on, then other names, `b9` before `b10`."""
    return place(tag, parse_version(tag))


def place(tag: str, version: Version | None) -> tuple[Any, ...]:
    """Returns the same for a tag that is parsed already."""
    return (0, *version._order) if version else (1, natural(tag), tag)


def natural(text: str) -> tuple[str | int, ...]:
    """Returns a key that compares numbers as numbers."""
    # Digits and the rest take turns, so that a number is only ever compared with a number.
    parts = enumerate(re.split(r"([0-9]+)", text))
    return tuple(int(part) if place % 2 else part for place, part in parts)


_SEPARATOR = expression(r"[-_+]")
_ONLY_SUFFIXES = frozenset({"number", "variant"})


# Few lists have many suffixes, and some have very many tags.
@lru_cache(maxsize=4096)
def _suffixes(glued: str | None, dotted: str | None, rest: str) -> tuple[Prerelease, Numbers, str, str] | None:
    """What follows the numbers, as the fields of a version. None if the tag is not one."""
    if (glued and not _PRERELEASE.fullmatch(glued)) or (dotted and _kind(dotted) in _ONLY_SUFFIXES):
        return None
    prerelease: list[tuple[str, Numbers]] = []
    revision: list[int] = []
    variant: list[str] = []
    raw: list[str] = []
    for suffix in [*filter(None, (glued, dotted)), *_SEPARATOR.split(rest)[1:]]:
        kind = _kind(suffix)
        if kind == "prerelease":
            prerelease.append(_prerelease(suffix))
            continue
        if kind == "number" and prerelease and not raw:
            # `rc-1` is one pre-release in two suffixes, as `rc1` and `rc.1` are in one.
            word, counted = prerelease[-1]
            prerelease[-1] = (word, (*counted, *_numbers(suffix)))
            continue
        raw.append(suffix)
        # After a word, a number belongs to the word: debian-11, nanoserver-1809.
        if kind == "variant" or (variant and kind == "number"):
            variant.append(suffix)
        elif kind in ("number", "revision"):
            revision += _numbers(suffix)
    return tuple(prerelease), tuple(revision), "-".join(variant), "-".join(raw)


def _kind(suffix: str) -> str:
    """Returns what a suffix is: prerelease, number, revision, passed over or variant."""
    if _PRERELEASE.fullmatch(suffix):
        return "prerelease"
    if _DATE.fullmatch(suffix) or _REVISION.fullmatch(suffix) or _DOTTED_REVISION.fullmatch(suffix):
        return "revision"
    if _COUNTED.fullmatch(suffix) and not _HASH_OF_DIGITS.fullmatch(suffix):
        return "number"
    return "passed over" if _RELEASED.fullmatch(suffix) or _HASH.fullmatch(suffix) else "variant"


def _prerelease(suffix: str) -> tuple[str, Numbers]:
    word = _PRERELEASE.fullmatch(suffix)
    assert word is not None
    return word["word"].lower(), _numbers(word["number"])


def _numbers(suffix: str) -> Numbers:
    """The counted numbers of a suffix. The digits of k3s and rke2 belong to their names."""
    return tuple(int(number) for number in _NUMBER.findall(re.sub(r"^(?:k3s|rke2r)", "", suffix, flags=re.IGNORECASE)))


def _significant(numbers: Numbers) -> Numbers:
    """Drops zeros from the end: 3.20 and 3.20.0 are one version."""
    end = len(numbers)
    while end > 1 and not numbers[end - 1]:
        end -= 1
    return numbers[:end]
