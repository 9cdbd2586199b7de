"""Ranges of versions in the dialects of npm and Masterminds."""

from __future__ import annotations

import re
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from semantic_version import NpmSpec, Version

from reconciler.mirrors.ranges import LONGEST_RANGE, Prerelease, Range, compile_range


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("", "0 3.18.2", ""),
        ("*", "0 3.18.2", ""),
        ("1.2.3", "1.2.3 1.2.3.9", "1.2 1.2.4"),
        ("= 1.2", "1.2 1.2.9", "1.3"),
        ("v1.x", "1 1.9", "2"),
        ("1.X.3", "1.0 1.9.4", "2"),
        ("!=1.2", "1.3 1.1", "1.2.0 1.2.9"),
        ("!= x", "", "0 1"),
        (">1.2", "1.3 2", "1.2.9 1.2"),
        ("> 1.2.3", "1.2.4", "1.2.3 1.2.3.9"),
        ("<=1.2", "1.2.9 1.0", "1.3"),
        ("=<1.2", "1.2.9", "1.3"),
        ("=>1.2", "1.2", "1.1.9"),
        ("< *", "", "0 1"),
        (">= v24.04", "24.4 24.10", "23.10"),
        (">= 3.18, < 4", "3.18 3.99", "3.17 4"),
        (">=3.18,<4", "3.18 3.99", "3.17 4"),
        (">=3.18<4", "3.18 3.99", "3.17 4"),
        (">=3.18  <4, !=3.20.1", "3.20 3.20.2", "3.20.1 4.0"),
        ("~1.2.3", "1.2.3 1.2.9", "1.2.2 1.3"),
        ("~> v1.2", "1.2 1.2.9", "1.3"),
        ("~1", "1 1.9", "2"),
        ("~ 1.2.3.4", "1.2.3.4 1.2.9", "1.2.3.3 1.3"),
        ("^1.2.3", "1.2.3 1.9", "1.2.2 2"),
        ("^ 0.2.3", "0.2.3 0.2.9", "0.3"),
        ("^0.0.3", "0.0.3 0.0.3.1", "0.0.4"),
        ("^0.0", "0.0.9", "0.1"),
        ("^0", "0.9", "1"),
        ("^x", "0 7", ""),
        ("v1.2 - v1.4", "1.2 1.4.9", "1.1 1.5"),
        ("1.2.3  -  2", "1.2.3 2.9", "1.2.2 3"),
        ("1 - 2, !=1.5", "1.4 2.9", "1.5.1"),
        ("<1 || 3.x || >= 5", "0.9 3.4 5", "1 2 4"),
        ("1 ||", "0 9", ""),
        (">=26.6.3.62 <26.6.3.100", "26.6.3.62 26.6.3.99", "26.6.3.61 26.6.3.100"),
        (">=1.2.3.4.5", "1.2.3.4.5 1.2.3.4.6", "1.2.3.4"),
    ],
)
def test_what_a_range_contains(text: str, inside: str, outside: str) -> None:
    compiled = compile_range(text)
    assert [version for version in inside.split() if not compiled.contains(_numbers(version))] == []
    assert [version for version in outside.split() if compiled.contains(_numbers(version))] == []


@pytest.mark.parametrize(
    "text",
    [" >= 1.2.3", "> v1.2.3", ">= 1", ">= 1.2", ">= 1.2.3 < 2.0.0", ">= v1.2 < v2.0", ">= v1.2.3-0", ">= v1.2.3-alpha.4", ">=v1.2.3", "1.2.3", "v1.2.3 - v1.4.0"],
)  # fmt: skip
def test_the_forms_of_a_large_configuration(text: str) -> None:
    """These are the forms of all but two of the 612 constraints in the images/ folder of giantswarm/retagger."""
    assert compile_range(text).contains((1, 2, 3)) is (text != "> v1.2.3")


@pytest.mark.parametrize(
    ("text", "prereleases", "inside", "outside"),
    [
        # Compared by their numbers where the range names none.
        (">=3.18", False, ["3.18-rc1", "3.18"], ["3.17-rc1"]),
        ("<2", False, ["1.9-rc1"], ["2.0-rc1"]),
        # npm's and Masterminds' ways to have them.
        (">=1.0.0-0", True, ["1.0.0-alpha", "1.0", "1.1-rc1"], ["0.9"]),
        (">= 1.0.0-rc.2", True, ["1.0.0-rc2", "1.0.0-rc.3", "1.0", "1.0.1-alpha"], ["1.0.0-rc1", "1.0.0-beta9"]),
        (">1.2-rc1", True, ["1.2.0-rc2", "1.2", "1.2.5-alpha"], ["1.2-rc1"]),
        ("<=1.0.0-rc2", True, ["1.0-rc1", "0.9"], ["1.0-rc3", "1.0"]),
        ("=1.0-rc1", True, ["1.0-rc1"], ["1.0", "1.0-rc2"]),
        ("1.0.0-beta1 - 1", True, ["1.0-beta2", "1.9"], ["1.0-alpha", "2.0-rc1"]),
        ("^1.2.0-beta", True, ["1.2.0-rc1", "1.9"], ["1.2.0-alpha", "2.0-rc1"]),
        ("~1.2.0-beta", True, ["1.2.0-rc1", "1.2.9"], ["1.2.0-alpha", "1.3"]),
        ("!=1.0-rc1", True, ["1.0-rc2", "1.0"], ["1.0-rc1"]),
        # npm's way not to have those of the next one.
        (">=1.0 <2.0.0-0", False, ["1.0", "1.9-rc1"], ["2.0-alpha", "2.0"]),
    ],
)
def test_pre_releases(text: str, prereleases: bool, inside: list[str], outside: list[str]) -> None:
    compiled = compile_range(text)
    assert compiled.prereleases is prereleases
    assert [version for version in inside if not compiled.contains(*_parsed(version))] == []
    assert [version for version in outside if compiled.contains(*_parsed(version))] == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (">=1.2-alpine", "'-alpine' cannot stand in a range; write semver: \">=1.2\" and variant: alpine"),
        ("1.2-alpine3.20", 'write semver: "1.2" and variant: alpine3.20'),
        (">=17-jdk", 'write semver: ">=17" and variant: jdk'),
        (">=1.0-rc1-slim", 'write semver: ">=1.0" and prereleases: true and variant: slim'),
        (">=1.x-rc1", 'write semver: ">=1.x" and prereleases: true'),
        ("16.2.5-20210708", 'write semver: "16.2.5", or the tag without semver'),
        (">= v1.27.3-713b673cccf1af661efd75ca20532336517ddcb9", 'write semver: ">=1.27.3"'),
        ("1.2-1.4", "or 1.2 - 1.4 with blanks for a range of both"),
        (">=1.2.", "'.' cannot stand in a range"),
        ("3.2x", '\'x\' stands for a whole number, not for its last digits; write semver: "*" and glob: "3.2*"'),
        ("3.2*", 'write semver: "*" and glob: "3.2*"'),
        ("[1.2,2)", "'[1.2' is not a version; both bounds are written with a blank between, >=1.2 <2"),
        (">=1 && <2", "'&&' is not a version; both bounds"),
        ("latest", "'latest' is not a version"),
        (">=", "expected a version after '>=', found nothing"),
        (">=1 <", "expected a version after '<', found nothing"),
        (">=1 || > , 2", "expected a version after '>', found ','"),
        ("1 | 2", "'|' does not separate versions; write ||"),
        (">=1,", "expected a version after the last ','"),
        (">=1,,<2", "expected a version between separators, found ','"),
        ("==1", "'==' is not a valid operator; valid are = != > >= < <= ~ ~> ^"),
        (">1 - 2", "'>' cannot stand before a range with a hyphen"),
        ("1 - <2", "'<' cannot stand after the hyphen"),
        ("9" * 21, "has a number of more than 20 digits"),
        ("1 " * LONGEST_RANGE, "it is longer than 1024 characters"),
    ],
)
def test_a_range_that_is_not_valid(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        compile_range(text)


@pytest.mark.parametrize(
    ("text", "largest"),
    [("*", 0), (">=3.18 <20000 || 1", 3), (">=20230101", 20230101), ("2021.11 - 2023", 2021), ("~2", 2), ("!=9", 0)],
)
def test_the_size_of_numbers_that_a_range_speaks_of(text: str, largest: int) -> None:
    assert compile_range(text).largest == largest


_PARTS = st.one_of(st.integers(0, 4).map(str), st.sampled_from(["x", "*", "X", "01"]))
_VERSIONS = st.builds(str.__add__, st.sampled_from(["", "v"]), st.lists(_PARTS, min_size=1, max_size=3).map(".".join))
_BOUNDS = st.builds(str.__add__, st.sampled_from(["", "=", ">", ">=", "<", "<=", "^", "~"]), _VERSIONS)
_ALTERNATIVES = st.one_of(
    st.lists(_BOUNDS, min_size=1, max_size=3).map(" ".join), st.builds("{} - {}".format, _VERSIONS, _VERSIONS)
)


@given(st.lists(_ALTERNATIVES, min_size=1, max_size=3).map("||".join), st.tuples(*[st.integers(0, 5)] * 3))
def test_ranges_mean_what_they_meant_to_semantic_version(text: str, numbers: tuple[int, int, int]) -> None:
    """Ranges that name a suffix are the exception: that library ignored `+build`, and had 1.2.3-rc1 contain 1.2.3."""
    try:
        # This is how releases before 0.2 read a range.
        spec = NpmSpec(re.sub(r"(?<![0-9A-Za-z])0+(?=[0-9])", "", text))
    except (ValueError, AttributeError):
        return
    major, minor, patch = numbers
    assert compile_range(text).contains(numbers) == spec.match(Version(major=major, minor=minor, patch=patch))


@given(st.lists(st.sampled_from([" - ", "||", " ", "v", "1.2", "1.2.3-rc.1", "x", "^", "~>", ">=", "<", "a", ","])))
def test_a_range_is_a_range_or_a_value_error(pieces: list[str]) -> None:
    with suppress(ValueError):
        assert isinstance(compile_range("".join(pieces)), Range)


@pytest.mark.parametrize("piece", ["1.", " ", "1 ", "1||", "v", "x.", "-", "1-", " - ", ">", ",", "0a"])
def test_time_is_linear(piece: str) -> None:
    began = time.process_time()
    with suppress(ValueError):
        compile_range((piece * LONGEST_RANGE)[:LONGEST_RANGE])
    assert time.process_time() - began < 0.2


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))


def _parsed(version: str) -> tuple[tuple[int, ...], Prerelease]:
    numbers, _, suffix = version.partition("-")
    word = re.fullmatch(r"([a-z]*)\.?([0-9]*)", suffix)
    assert word
    return _numbers(numbers), ((word[1], (int(word[2]),) if word[2] else ()),) if suffix else ()
