"""Compiles ranges of versions as npm and Masterminds (Helm, Renovate, Go) write them. Pure.

    range        alternative || alternative ...
    alternative  bounds, all of which must hold, separated by blanks or commas; or A - B, from A up to B
    bound        [= != > >= < <= ~ ~> ^] [v]N[.N...], where x, X or * stand for any number

A bound speaks of the numbers that it writes and of no others: `=1.2` and `1.2` are every 1.2.N, `>1.2` begins at 1.3,
`<=1.2` ends before 1.3, and `1.2.3` holds for 1.2.3.4 too. There may be more than three numbers: `>=26.6.3.62`.

A bound may name a pre-release (`>=1.0.0-rc2`, `<2.0.0-0`), which is then compared as well. As in both dialects, such a
range wants pre-releases (`prereleases`), except by an upper bound `-0`, which is how npm keeps them out. Anything else
after the numbers is an error, because ignoring it would choose tags that the author excludes: `>=17-jdk`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from reconciler.frozen import Frozen
from reconciler.mirrors.spelling import spelled
from reconciler.mirrors.versions import parse_version
from reconciler.regex import expression

LONGEST_RANGE = 1024
_LONGEST_NUMBER = 20

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "": eq,
    "=": eq,
    "!=": ne,
    ">": gt,
    ">=": ge,
    "=>": ge,
    "<": lt,
    "<=": le,
    "=<": le,
}
_UPPER = ("<", "<=", "=<")
_OPERATORS = expression(r"[=!<>~^]+")
_WORD = expression(r"[^\s,=!<>~^]+")
_SEPARATOR = expression(r"\s*,\s*|\s+")
_HYPHEN = expression(r"\s+-\s+")
_BOUND = expression(r"[vV]?(?P<numbers>(?:[0-9]+|[xX*])(?:\.(?:[0-9]+|[xX*]))*)(?P<suffix>.*)", re.DOTALL)

_WORDS = expression(r"\A(?!(?:[0-9a-f]{7,40}|[0-9.]+)\Z)[A-Za-z0-9]")
_HYPHENATED = expression(r"-[vV]?[0-9]+(?:\.[0-9]+)+")

Prerelease = tuple[tuple[str, tuple[int, ...]], ...]
"""What `versions.Version.prerelease` holds. Empty for the lowest one, `-0`."""


class Bound(Frozen):
    """One comparison.

    operator    a key of the comparisons
    numbers     those that are written; none for `*`
    prerelease  what the bound names after its numbers; None if it speaks of numbers alone
    """

    operator: str
    numbers: tuple[int, ...]
    prerelease: Prerelease | None = None

    def holds(self, numbers: tuple[int, ...], prerelease: Prerelease) -> bool:
        compare = _COMPARE[self.operator]
        if self.prerelease is None:
            return compare(_cut(numbers, len(self.numbers)), self.numbers)
        length = max(len(numbers), len(self.numbers))
        version = (_cut(numbers, length), not prerelease, prerelease)
        return compare(version, (_cut(self.numbers, length), False, self.prerelease))

    @property
    def wants_prereleases(self) -> bool:
        return bool(self.prerelease) or (self.prerelease == () and self.operator not in _UPPER)


class Range(Frozen):
    """A compiled range: the bounds of at least one of the alternatives must hold."""

    alternatives: tuple[tuple[Bound, ...], ...]

    def contains(self, numbers: tuple[int, ...], prerelease: Prerelease = ()) -> bool:
        """Returns whether a version is in the range. Numbers that it does not have count as 0."""
        return any(all(bound.holds(numbers, prerelease) for bound in bounds) for bounds in self.alternatives)

    @property
    def prereleases(self) -> bool:
        """Whether the range names a pre-release, and so wants them."""
        return any(bound.wants_prereleases for bounds in self.alternatives for bound in bounds)

    @property
    def largest(self) -> int:
        """Returns the largest number that a bound begins at: the size of the versions that the range speaks of.

        Upper bounds do not count, since some are there to keep larger numbers out: `<10000`.
        """
        bounds = (bound for bounds in self.alternatives for bound in bounds if bound.numbers)
        return max((bound.numbers[0] for bound in bounds if bound.operator not in (*_UPPER, "!=")), default=0)


@lru_cache(maxsize=256)
def compile_range(text: str) -> Range:
    """Compiles a range. Leading zeros are allowed, since tags such as `24.04` have them.

    Raises `ValueError`, whose text is the reason.
    """
    if len(text) > LONGEST_RANGE:
        raise ValueError(f"it is longer than {LONGEST_RANGE} characters")
    return Range(tuple(tuple(_bounds(alternative.strip())) for alternative in text.split("||")))


def _cut(numbers: tuple[int, ...], length: int) -> tuple[int, ...]:
    return (*numbers[:length], *(0,) * (length - len(numbers)))


def _bounds(text: str) -> Iterator[Bound]:
    """Yields the bounds of an alternative, from left to right."""
    if "|" in text:
        raise ValueError("'|' does not separate versions; write || between alternatives")
    position = 0
    while position < len(text):
        operator, word, position = _operator_and_word(text, position)
        hyphen = _HYPHEN.match(text, position)
        if hyphen:
            if operator:
                raise ValueError(f"{operator!r} cannot stand before a range with a hyphen; write 1.2 - 1.4")
            operator_after, upper, position = _operator_and_word(text, hyphen.end())
            if operator_after:
                raise ValueError(f"{operator_after!r} cannot stand after the hyphen of a range; write 1.2 - 1.4")
            yield _bound(">=", word)
            yield _bound("<=", upper)
        else:
            yield from _written(operator, word)
        position = _next(text, position)


def _operator_and_word(text: str, position: int) -> tuple[str, str, int]:
    """Returns the operator at a position, the version after it, and where they end."""
    operators = _OPERATORS.match(text, position)
    operator = operators[0] if operators else ""
    if operator not in (*_COMPARE, "~", "~>", "^"):
        raise ValueError(f"{operator!r} is not a valid operator; valid are = != > >= < <= ~ ~> ^")
    start = position + len(operator)
    while operator and start < len(text) and text[start].isspace():
        start += 1
    word = _WORD.match(text, start)
    if not word:
        found = repr(text[start]) if start < len(text) else "nothing"
        after = f"after {operator!r}" if operator else "between separators" if found == "','" else "here"
        raise ValueError(f"expected a version {after}, found {found}")
    return operator, word[0], word.end()


def _next(text: str, position: int) -> int:
    """Returns where the next bound begins. Bounds that begin with an operator need no separator."""
    if position == len(text) or _OPERATORS.match(text, position):
        return position
    separator = _SEPARATOR.match(text, position)
    end = separator.end() if separator else position
    if end == len(text):
        raise ValueError("expected a version after the last ','")
    return end


def _written(operator: str, word: str) -> Iterator[Bound]:
    """Yields the comparisons that a bound stands for."""
    if operator not in ("^", "~", "~>"):
        yield _bound(operator, word)
        return
    lower = _bound(">=", word)
    yield lower
    if lower.numbers:
        yield Bound("<=", lower.numbers[: _kept(operator, lower.numbers)])


def _kept(operator: str, numbers: tuple[int, ...]) -> int:
    """Returns how many of the numbers may not change: for `^` up to the first that is not 0, for `~` at most two."""
    if operator == "^":
        return next((place for place, number in enumerate(numbers, 1) if number), len(numbers))
    return min(len(numbers), 2)


def _bound(operator: str, word: str) -> Bound:
    match = _BOUND.fullmatch(word)
    if not match:
        if word[0] in "[(&" or word[-1] in "])":
            raise ValueError(f"{word[:90]!r} is not a version; both bounds are written with a blank between, >=1.2 <2")
        raise ValueError(f"{word[:90]!r} is not a version; a tag by its name is an entry of its own, without semver")
    written = match["numbers"].split(".")
    if any(len(number) > _LONGEST_NUMBER for number in written):
        raise ValueError(f"{word[:90]!r} has a number of more than {_LONGEST_NUMBER} digits")
    # As in npm, what follows an `x` is not compared: 1.x.3 is 1.x.
    place = next((place for place, number in enumerate(written) if not number.isdigit()), len(written))
    numbers = tuple(int(number) for number in written[:place])
    if not match["suffix"]:
        return Bound(operator, numbers)
    return Bound(
        operator, numbers, _prerelease(operator, match["numbers"], match["suffix"], whole=place == len(written))
    )


def _prerelease(operator: str, numbers: str, suffix: str, *, whole: bool) -> Prerelease:
    """Parses what follows the numbers as a pre-release. Raises `ValueError` that says what to write instead."""
    if suffix == "-0" and whole:
        return ()
    version = parse_version(f"0{suffix}")
    if version and version.prerelease and not version.variant and whole:
        return version.prerelease
    if suffix in ("x", "X", "*"):
        digits = f'semver: "*" and glob: {spelled(f"{numbers}*")}'
        raise ValueError(f"{suffix!r} stands for a whole number, not for its last digits; write {digits}")
    bound = f"{operator}{numbers}"
    advice = f"semver: {spelled(bound)}"
    if version and version.prerelease:
        advice += " and prereleases: true"
    if version and _WORDS.search(version.variant):
        advice += f" and variant: {spelled(version.variant)}"
    elif operator in ("", "="):
        advice += ", or the tag without semver"
    if _HYPHENATED.fullmatch(suffix):
        advice += f", or {numbers} - {suffix[1:]} with blanks for a range of both"
    raise ValueError(f"{suffix[:90]!r} cannot stand in a range; write {advice}")
