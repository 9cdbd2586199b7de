"""Warnings of tags that are out of line with the others and are taken as the newest."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.mirrors.patterns import parse_pattern
from reconciler.mirrors.selection import select
from reconciler.mirrors.surprises import surprises

USUAL = [f"1.{minor}.0" for minor in range(30)]


def warned(entry: Any, *more: str) -> tuple[str, ...]:
    listed = [*USUAL, *more]
    return surprises(select([parse_pattern(entry)], (), (), listed).chosen, listed)


@pytest.mark.parametrize(
    ("entry", "more", "words"),
    [
        ({"semver": "*", "newest": 3}, ["4711.1"], 'semver "*", newest 3 takes 4711.1, far above 1.29.0'),
        ({"regex": ".*", "newest": 3}, ["20210101"], 'regex ".*", newest 3 takes 20210101, far above 1.29.0'),
        ({"regex": "v?(.*)", "newest": 2}, ["2021.11.28"], "takes 2021.11.28, far above 1.29.0"),
        ({"semver": "*", "newest": 9}, ["50", "51", "52", "53.1"], "takes 50, 51, 52 and 1 more, far above"),
        ({"semver": "*", "newest": 3}, ["4711.1"], "write a semver range that begins at 4711 if it is meant"),
    ],
)
def test_what_is_far_above_most_versions(entry: Any, more: list[str], words: str) -> None:
    (warning,) = warned(entry, *more)
    assert words in warning


@pytest.mark.parametrize(
    ("entry", "more"),
    [
        ({"semver": "*", "newest": 3}, []),
        ({"semver": "*"}, ["4711.1"]),
        ({"semver": ">=4000", "newest": 3}, ["4711.1"]),
        ({"semver": "<4", "newest": 3}, ["4711.1"]),
        ({"semver": ">=2000", "newest": 3}, ["2021.11.28"]),
        ({"semver": "*", "newest": 3}, ["2.0", "12.0"]),
        # A project that went over to years has more of those in the end.
        ({"semver": "*", "newest": 3}, [f"2024.{month}.{patch}" for month in range(1, 13) for patch in range(5)]),
        ({"glob": "latest*", "newest": 3}, ["latest"]),
        ("4711.1", ["4711.1"]),
    ],
)
def test_what_is_no_surprise(entry: Any, more: list[str]) -> None:
    assert warned(entry, *more) == ()


ALPINE = [
    "3",
    *(f"3.{minor}" for minor in range(3, 12)),
    *(f"3.{minor}.{patch}" for minor in range(6, 12) for patch in range(3)),
]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (
            {"regex": r"3\.\d+", "newest": 2},
            r'regex "3\.\d+", newest 2 takes 3.5 and no newer ones, because 3.6, 3.7, 3.8 and 3 more are floating tags',
        ),
        ({"glob": "3.?", "per": "minor", "newest": 1}, "takes 3.5 and no newer ones, because 3.6, 3.7, 3.8 and 1 more"),
    ],
)
def test_old_versions_because_the_newest_tags_float(entry: Any, words: str) -> None:
    (warning,) = surprises(select([parse_pattern(entry)], (), (), ALPINE).chosen, ALPINE)
    assert words in warning


@pytest.mark.parametrize(
    ("entry", "exclude"),
    [
        ({"regex": r"3\.\d+", "newest": 2, "order": "number"}, ()),
        ({"regex": r"3\.\d+", "newest": 2, "floating": False}, ()),
        ({"regex": r"3\.\d+"}, ()),
        ({"semver": "*", "newest": 2}, ()),
        # What is excluded, or waits, is not missing.
        ({"semver": "*", "newest": 2}, ({"glob": "3.11.*"},)),
        ({"semver": "<3.11.0", "newest": 2}, ()),
    ],
)
def test_floating_tags_that_are_no_surprise(entry: Any, exclude: Any) -> None:
    chosen = select([parse_pattern(entry)], list(map(parse_pattern, exclude)), (), ALPINE).chosen
    assert surprises(chosen, ALPINE) == ()


def test_prereleases_in_the_place_of_releases() -> None:
    (warning,) = warned({"glob": "*", "newest": 3}, "2.0-rc1", "2.0-rc2")
    assert warning == (
        'glob "*", newest 3 takes pre-releases: 2.0-rc1, 2.0-rc2; add `semver: "*"` to leave them out, and '
        "`prereleases: true` besides if they are meant"
    )


@pytest.mark.parametrize(
    "entry",
    [
        {"glob": "*rc*", "newest": 1},
        {"glob": "*"},
        {"glob": "*", "semver": "*", "prereleases": True, "newest": 3},
        {"semver": ">=2.0-rc1", "newest": 1},
    ],
)
def test_prereleases_that_are_meant(entry: Any) -> None:
    assert warned(entry, "2.0-rc1", "2.0-rc2") == ()


def test_a_list_without_versions() -> None:
    assert surprises(select([parse_pattern({"glob": "*", "newest": 1})], (), (), ["a", "b"]).chosen, ["a", "b"]) == ()
