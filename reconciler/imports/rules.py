"""Translates the tools' rules for tags into entries of mirrors.yaml that choose the same tags. Pure.

A regex of Go's is one of RE2's, but may match a part of a tag, where one of mirrors.yaml matches all of it. Ranges
differ more. To `Masterminds` every suffix is a pre-release, and a range without one takes no pre-releases: `>=3.18`
takes neither 3.19-alpine nor 3.19.1_2. To `regsync` and `blang` a suffix is a pre-release too, but is only compared:
`>=3.18` takes 3.19-alpine, and not 3.18-alpine, which comes before 3.18. All three take dates for versions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

from reconciler.mirrors.ranges import compile_range
from reconciler.oci.spec import is_tag
from reconciler.regex import expression

if TYPE_CHECKING:
    from reconciler.imports.drafts import Entry

EVERYTHING: dict[str, Any] = {"glob": "*"}

_PLAIN = r"v?\d+(?:\.\d+){0,2}"
_SUFFIXED = r"v?\d+(?:\.\d+)*(?:-.+)?"
_IDENTIFIERS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_THREE_NUMBERS = rf"v?\d+(?:\.\d+)?|v?\d+\.\d+\.\d+(?:-{_IDENTIFIERS})?"
MASTERMINDS_VERSION = rf"v?\d+(?:\.\d+){{0,2}}(?:-{_IDENTIFIERS})?"
"""What Masterminds' NewVersion parses."""

NOT_MASTERMINDS = r"V.*|.*_.*|v?\d+(?:\.\d+){3,}.*|v?[\d.]+[A-Za-z].*"
"""What are versions to mirrors.yaml, and not to Masterminds' NewVersion."""

NOT_PLAIN = r".*[-_].*|V.*|v?\d+(?:\.\d+){3,}.*|v?[\d.]+[A-Za-z].*"
"""What are versions to mirrors.yaml, and neither versions without a suffix to Masterminds."""

NOT_THREE_NUMBERS = rf"{NOT_MASTERMINDS}|v?\d+(?:\.\d+)?-.*"
"""What are versions to mirrors.yaml, and not to blang/semver's ParseTolerant."""

_BEYOND_DATES = 10_000
_A_YEAR = 2000

_BOUND = expression(r"(?P<operator>[=!<>^~]*)\s*v?(?P<numbers>\d+(?:\.\d+)*)(?P<suffix>-\S*)?")


def unanchored(pattern: str, kept: str = "") -> str:
    """Returns an expression that matches all of a text of which Go's `pattern` matches any part.

    Of its groups, only the one called `kept` captures.
    """
    bare = uncaptured(pattern, kept)
    top = _at_top(bare)
    begins, ends = top.startswith("^"), top.endswith("$")
    if bare.startswith("(?i") or any(mark in top[begins : len(top) - ends] for mark in "|^$"):
        return f".*(?:{bare}).*"
    inner = bare[begins : len(bare) - ends]
    before = "" if begins or inner.startswith(".*") else ".*"
    after = "" if ends or inner.endswith(".*") else ".*"
    return f"{before}{inner}{after}"


def anchored(pattern: str) -> str:
    """Returns an expression that matches all of a text that Go's `^pattern$` matches.

    In `a|b`, the anchors belong to one alternative each.
    """
    begins, ends = pattern.startswith("^"), _at_top(pattern).endswith("$")
    return unanchored(f"{'' if begins else '^'}{pattern}{'' if ends else '$'}")


def uncaptured(pattern: str, kept: str = "") -> str:
    """Makes the groups of an expression capture nothing, since a captured part orders tags; except the one `kept`."""
    parts = []
    for part, in_class in _tokens(pattern):
        named = re.fullmatch(r"\(\?P?<(\w+)>", part)
        if named:
            parts.append("(" if kept and named[1] == kept else "(?:")
        else:
            parts.append("(?:" if part == "(" and not in_class else part)
    return "".join(parts)


def _tokens(pattern: str) -> Iterator[tuple[str, bool]]:
    """Yields the parts of an expression that matter here, and whether each is inside of `[...]`."""
    in_class = False
    for match in re.finditer(r"\\.|\[\^?\]?|\]|\(\?P?<\w+>|\(\?|\(|.", pattern, re.DOTALL):
        part = match[0]
        if part[0] == "[" and in_class:
            yield part, True
            in_class = not part.endswith("]")
            continue
        yield part, in_class
        if part[0] == "[":
            in_class = True
        elif part == "]":
            in_class = False


def _at_top(pattern: str) -> str:
    """Returns an expression without what is inside of groups, classes and escapes."""
    depth, top = 0, []
    for part, in_class in _tokens(pattern):
        if part[0] == "(" and not in_class:
            depth += 1
        elif part == ")" and not in_class:
            depth = max(0, depth - 1)
        elif not depth and not in_class and len(part) == 1:
            top.append(part)
        elif not depth:
            top.append(" ")
    return "".join(top)


def masterminds(text: str) -> dict[str, Any]:
    """Translates a range of Masterminds/semver's (skopeo, Flux). Raises `ValueError` for one that it refuses."""
    if compile_range(text).prereleases or re.search(r"\d-\d", text):
        return {"semver": text, "prereleases": True, "variant": "*", "regex": MASTERMINDS_VERSION}
    return {"semver": with_dates(text), "regex": _PLAIN}


def is_exact(entry: dict[str, Any]) -> bool:
    """Returns whether the translation of a range chooses exactly the same tags."""
    return not entry.get("prereleases") or bool(entry.get("exclude")) or entry.get("regex") != MASTERMINDS_VERSION


def with_dates(text: str) -> str:
    """Returns a range for which dates count as versions, as they do for other libraries."""
    found = compile_range(text)
    if found.largest < _BEYOND_DATES and found.contains((10**12,)):
        return f"{text} || >={_BEYOND_DATES}"
    if found.largest < _A_YEAR and found.contains((_A_YEAR,)):
        return " || ".join([text, *(f"{one.strip()} >=1990" for one in text.split("||"))])
    return text


def regsync_range(text: str) -> list[Entry]:
    """Translates a range of regsync's `semverRange`. Raises `ValueError` for one that regsync refuses."""
    if "||" in text:
        raise ValueError("regsync knows no ||; it is a list of ranges")
    bounds = [bound for word in text.split() for bound in _regsync_bounds(*_parsed(word))]
    if not bounds:
        raise ValueError("it is empty")
    return _compared(bounds, _SUFFIXED, _suffixed)


def blang_range(text: str) -> list[Entry]:
    """Translates a range of blang/semver's (dregsy). Raises `ValueError` for one that it refuses."""
    found: list[Entry] = []
    for alternative in text.split("||"):
        words = re.findall(r"[=!<>]*\s*[^\s=!<>]+", alternative)
        bounds = [bound for word in words for bound in _blang_bounds(word.replace(" ", ""))]
        if not bounds:
            raise ValueError("it is empty")
        found += _compared(bounds, _THREE_NUMBERS, _three_suffixed)
    return found


_Bound = tuple[str, tuple[int, ...]]


def _parsed(word: str) -> tuple[str, tuple[int, ...]]:
    match = _BOUND.fullmatch(word)
    if not match:
        raise ValueError(f"{word[:90]!r} is not a bound, e.g. >=1.2.0")
    if match["suffix"]:
        raise ValueError(f"{word[:90]!r} names a pre-release, which r2mirror compares in another way")
    return match["operator"], tuple(int(number) for number in match["numbers"].split("."))


def _regsync_bounds(operator: str, numbers: tuple[int, ...]) -> Iterator[_Bound]:
    major, minor, patch = (*numbers, 0, 0)[:3]
    match operator:
        case "^":
            yield ">=", numbers
            yield "<", (major + 1,) if major else (0, minor + 1) if minor else (0, 0, patch + 1)
        case "~":
            yield ">=", numbers
            yield "<", (major, minor + 1)
        case "" | "=" | ">" | ">=" | "<" | "<=":
            yield operator or "=", numbers
        case _:
            raise ValueError(f"{operator!r} is not an operator of regsync's")


def _blang_bounds(word: str) -> Iterator[_Bound]:
    wild = re.fullmatch(r"(?P<operator>[=!<>]*)(?P<numbers>\d+(?:\.\d+)?)\.[xX*](?:\.[xX*])?", word)
    if wild:
        numbers = tuple(int(number) for number in wild["numbers"].split("."))
        after = (*numbers[:-1], numbers[-1] + 1)
        match wild["operator"]:
            case "" | "=" | "==":
                yield from ((">=", numbers), ("<", after))
            case ">" | "<=" as operator:
                yield ">=" if operator == ">" else "<", after
            case ">=" | "<" as operator:
                yield operator, numbers
            case _:
                raise ValueError(f"{word[:90]!r} excludes versions, which a range of mirrors.yaml cannot do with x")
        return
    operator, numbers = _parsed(word)
    if len(numbers) != 3:
        raise ValueError(f"{word[:90]!r} needs three numbers, e.g. >=1.2.0")
    operator = {"==": "=", "!": "!=", "": "="}.get(operator, operator)
    if operator not in ("=", "!=", ">", ">=", "<", "<="):
        raise ValueError(f"{operator!r} is not an operator of blang/semver")
    yield operator, numbers


_HOLDS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}


def _compared(bounds: Collection[_Bound], shape: str, suffixed: Callable[[tuple[int, ...]], str]) -> list[Entry]:
    """Translates bounds that compare a suffix as a pre-release: 3.18-alpine comes before 3.18.

    shape     matches what the tool takes for a version
    suffixed  returns what matches the versions with certain numbers and a suffix
    """
    range_ = " ".join(f"{operator}{_spelled(operator, numbers)}" for operator, numbers in bounds)
    # The versions with the numbers of a bound and a suffix are on the other side of it than the numbers alone say.
    lower = [numbers for operator, numbers in bounds if operator in (">=", "=")]
    entry: dict[str, Any] = {"semver": with_dates(range_), "prereleases": True, "variant": "*", "regex": shape}
    if lower:
        entry["exclude"] = [{"regex": suffixed(numbers)} for numbers in dict.fromkeys(lower)]
    more = [numbers for operator, numbers in bounds if operator in ("<", "!=") and _just_before(numbers, bounds)]
    return [entry, *({"regex": suffixed(numbers)} for numbers in dict.fromkeys(more))]


def _just_before(numbers: tuple[int, ...], bounds: Collection[_Bound]) -> bool:
    """Returns whether a version with these numbers and a suffix is within all of the bounds."""
    version = (_cut(numbers), 0)
    return all(_HOLDS[operator](version, (_cut(other), 1)) for operator, other in bounds)


def _cut(numbers: tuple[int, ...]) -> tuple[int, ...]:
    end = len(numbers)
    while end > 1 and not numbers[end - 1]:
        end -= 1
    return numbers[:end]


def _suffixed(numbers: tuple[int, ...]) -> str:
    return r"v?" + r"\.".join(map(str, _cut(numbers))) + r"(?:\.0)*-.+"


def _three_suffixed(numbers: tuple[int, ...]) -> str:
    return r"v?" + r"\.".join(map(str, numbers)) + rf"-{_IDENTIFIERS}"


def _spelled(operator: str, numbers: tuple[int, ...]) -> str:
    # Here a bound holds for all numbers that it does not write: `>1.2` begins at 1.3, and `1.2` is every 1.2.N.
    written = (*numbers, 0, 0, 0, 0) if operator in ("=", "!=", ">", "<=") else numbers
    return ".".join(map(str, written[: max(4, len(numbers))]))


def name_or(pattern: str, translated: Callable[[str], str]) -> Entry:
    """Translates an expression, or a tag's name: one without characters that mean something, other than dots."""
    return pattern if is_tag(pattern) else {"regex": translated(pattern)}


def path_match(pattern: str) -> str:
    """Translates a pattern of Go's path.Match into a glob. Raises `ValueError` for what no glob can say."""
    if "\\" in pattern:
        raise ValueError("a glob of mirrors.yaml has no \\")
    return pattern.replace("[^", "[!")
