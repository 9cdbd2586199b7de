"""Hints for a pattern that matches nothing."""

from __future__ import annotations

import pytest

from reconciler.mirrors.near_misses import empty_handed, newest_of
from reconciler.mirrors.patterns import Entry, Exact, Glob, Kept, Pattern, Pinned, Regex, Semver
from reconciler.mirrors.selection import select
from reconciler.oci.spec import Digest
from tests.parts.tags import NGINX

ALPINE = ["3.20.1", "3.20.2", "3.21.0", "3.22.0_rc1", "edge", "latest"]


def told(*patterns: Pattern, listed: list[str], exclude: tuple[Pattern, ...] = ()) -> tuple[str, ...]:
    return empty_handed(patterns, select(patterns, exclude, (), listed).tallies, listed)


@pytest.mark.parametrize(
    ("pattern", "listed", "words"),
    [
        (Semver(">=4"), ALPINE, 'semver ">=4" chooses none of 6 tags; newest is 3.21.0'),
        (
            Semver(">=3.22"),
            ALPINE,
            (
                'semver ">=3.22" chooses none of 6 tags; newest is 3.21.0; '
                'semver ">=3.22", with pre-releases would choose 1, e.g. 3.22.0_rc1'
            ),
        ),
        (
            Entry((Semver("1.x"),), kept=Kept(newest=5)),
            ["1.27.3-alpine", "1.28.0-alpine"],
            (
                'semver "1.x", newest 5 chooses none of 2 tags; newest is 1.28.0-alpine; '
                'semver "1.x", variant "*", newest 5 would choose 2, e.g. 1.28.0-alpine'
            ),
        ),
        (
            Glob("3.2*"),
            ["v3.20.1", "v3.21.0"],
            'glob "3.2*" chooses none of 2 tags; newest is v3.21.0; glob "v3.2*" would choose 2, e.g. v3.21.0',
        ),
        (
            Glob("v3.2*"),
            ALPINE,
            'glob "v3.2*" chooses none of 6 tags; newest is 3.21.0; glob "3.2*" would choose 4, e.g. 3.21.0',
        ),
        (
            Glob("Latest"),
            ALPINE,
            'glob "Latest" chooses none of 6 tags; newest is 3.21.0; glob "latest" would choose 1, e.g. latest',
        ),
        (
            Glob(r"v?3\.\d+\.\d+"),
            ALPINE,
            (
                r'glob "v?3\.\d+\.\d+" chooses none of 6 tags; newest is 3.21.0; '
                r'regex "v?3\.\d+\.\d+" would choose 3, e.g. 3.21.0'
            ),
        ),
        (
            Glob(">=3.20 <4"),
            ALPINE,
            'glob ">=3.20 <4" chooses none of 6 tags; newest is 3.21.0; semver ">=3.20 <4" would choose 3, e.g. 3.21.0',
        ),
        (
            Regex("3.2*"),
            ALPINE,
            'regex "3.2*" chooses none of 6 tags; newest is 3.21.0; glob "3.2*" would choose 4, e.g. 3.21.0',
        ),
        (
            Regex(r"3\.2"),
            ALPINE,
            r'regex "3\.2" chooses none of 6 tags; newest is 3.21.0; regex "3\.2.*" would choose 4, e.g. 3.21.0',
        ),
        (
            Regex("perl|ruby"),
            NGINX,
            (
                'regex "perl|ruby" chooses none of 18 tags; newest is 1.27.3; '
                'regex ".*(?:perl|ruby).*" would choose 1, e.g. 1.27.3-perl'
            ),
        ),
        (
            Semver(">=1"),
            ["main", "nightly"],
            'semver ">=1" chooses none of 2 tags; none of them is a version, e.g. main: choose by glob or regex',
        ),
        (
            Entry((Glob("3.??"),), kept=Kept(2)),
            ["3.18", "3.18.1", "3.20", "3.20.5", "latest"],
            (
                'glob "3.??", newest 2 chooses none of 5 tags; newest is 3.20.5; 2 match, but 3.20 is a floating tag, '
                'a name of 3.20.5; glob "3.??", newest 2, order number would choose 2, e.g. 3.20'
            ),
        ),
        (Glob("["), ["main"], 'glob "[" chooses none of 1 tag; none of them is a version, e.g. main'),
        (Glob("*"), [], 'glob "*" chooses none of 0 tags'),
    ],
)
def test_a_pattern_that_chooses_nothing(pattern: Pattern, listed: list[str], words: str) -> None:
    assert told(pattern, listed=listed) == (words,)


def test_an_excluded_tag_is_not_a_near_miss() -> None:
    assert told(Glob("3.2*"), Glob("edge"), listed=ALPINE, exclude=(Glob("3*"),)) == (
        'glob "3.2*" chooses none of 6 tags: exclude removes all 4 that match',
    )


def test_patterns_that_choose_and_names_that_no_list_is_needed_for_are_not_told_of() -> None:
    patterns = (Exact("gone"), Pinned("old", Digest("sha256", "a" * 64)))
    assert told(*patterns, Glob("*"), listed=ALPINE) == ()
    assert empty_handed(patterns, select(patterns, (), (), ()).tallies, None) == ()


def test_the_newest_is_a_release_without_a_variant_where_there_is_one() -> None:
    assert newest_of(["1.0", "2.0-alpine", "3.0-rc1"]) == "1.0"
    assert newest_of(["2.0-alpine", "3.0-rc1"]) == "2.0-alpine"
    assert newest_of(["3.0-rc1", "main"]) == "3.0-rc1"
    assert newest_of(["main"]) is None
