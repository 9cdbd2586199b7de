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


def test_a_list_without_versions() -> None:
    assert surprises(select([parse_pattern({"glob": "*", "newest": 1})], (), (), ["a", "b"]).chosen, ["a", "b"]) == ()
