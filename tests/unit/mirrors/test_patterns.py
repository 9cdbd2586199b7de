from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.mirrors.patterns import (
    KINDS,
    AnyOf,
    Entry,
    Exact,
    Glob,
    Kept,
    Named,
    Pattern,
    PatternError,
    Pinned,
    Regex,
    Semver,
    parse_pattern,
)
from reconciler.mirrors.schema_files import load_schema
from reconciler.mirrors.selection import needs_listing, select
from reconciler.mirrors.versions import parse_version
from reconciler.oci.spec import Digest
from tests.parts.tags import NGINX

DIGEST = Digest("sha256", "a" * 64)


def newest(count: int, range_: str, *, prereleases: bool = False, variant: str = "", **kept: Any) -> Entry:
    return Entry((Semver(range_, prereleases, variant),), kept=Kept(newest=count, **kept))


tag_lists = st.lists(
    st.from_regex(r"v?[0-9]{1,2}(\.[0-9]{1,2}){0,3}(-(rc[0-9]|alpine|slim))?|latest|edge|[a-z]{1,3}", fullmatch=True)
)
patterns = st.one_of(
    st.builds(Exact, st.sampled_from(["latest", "1.0", "nowhere"])),
    st.builds(Pinned, st.sampled_from(["latest", "2"]), st.just(DIGEST)),
    st.builds(Glob, st.sampled_from(["*", "1*", "*-rc?", "[a-m]*"])),
    st.builds(Regex, st.sampled_from([r"\d+", ".*", "v?1.*", "a|b"])),
    st.builds(
        Semver,
        st.sampled_from([">=1 <5", "*", "^2", "1.x || 7"]),
        st.booleans(),
        st.sampled_from(["", "*", "alp*"]),
    ),
    st.builds(
        newest,
        st.integers(1, 4),
        st.sampled_from([">=1 <5", "*", "^2"]),
        prereleases=st.booleans(),
        variant=st.sampled_from(["", "*", "alp*"]),
        per=st.sampled_from([(), ("minor",), ("major", "variant")]),
        floating=st.sampled_from([None, True, False]),
    ),
)
pattern_lists = st.lists(patterns, max_size=4)


def chosen(*tags: Pattern, exclude: tuple[Pattern, ...] = (), listed: list[str] = NGINX) -> list[str]:
    return [one.tag for one in select(tags, exclude, (), listed).chosen]


@pytest.mark.parametrize(
    ("pattern", "tags"),
    [
        (Exact("not-listed"), ["not-listed"]),
        (Pinned("1.27", DIGEST), ["1.27"]),
        (Glob("stable*"), ["stable", "stable-alpine"]),
        (Glob("STABLE"), []),
        (Regex(r"1\.\d+"), ["1.26", "1.27"]),
        (Regex("table"), []),
        (newest(2, "~1.27"), ["1.27.2", "1.27.3"]),
        (Semver(">=1.27.2 <2"), ["1.27.2", "1.27.3"]),
        (newest(1, ">=1.27.2 <2", prereleases=True), ["1.28.0-rc1"]),
        (
            newest(1, ">=1", variant="*", per=("variant",)),
            ["1.27.3", "1.27.3-alpine", "1.27.3-alpine3.20", "1.27.3-perl"],
        ),
        (newest(1, "<1.27.2", per=("minor",)), ["1.26.2", "1.27.1"]),
        (newest(2, "<1.27.2", per=("minor",), lines=1), ["1.27.0", "1.27.1"]),
        (newest(1, "<1.27.2", per=("minor",), lines=1, floating=True), ["1", "1.27", "1.27.1"]),
        (newest(1, ">=1.27.2", floating=True), ["1", "1.27", "1.27.3"]),
        (Entry((Semver("~1.27"),), kept=Kept(floating=False)), ["1.27.0", "1.27.1", "1.27.2", "1.27.3"]),
        (Entry((Semver("<1.27.1"),), kept=Kept(floating=True)), ["1", "1.26", "1.26.2", "1.27", "1.27.0"]),
        (Entry((Semver("*"), Regex(r".*\.[12]"))), ["1.26.2", "1.27.1", "1.27.2"]),
        (Entry((Semver("1.27.3", variant="*"),), (Glob("*-al*"),)), ["1.27.3", "1.27.3-perl"]),
        (Entry((Semver("*"),), (Exact("1.27.3"),), Kept(newest=2)), ["1.27.1", "1.27.2"]),
        (AnyOf((Glob("stable"), Glob("main*"))), ["mainline", "stable"]),
        (Semver("1.27.3", variant=("perl", "alpine")), ["1.27.3-alpine", "1.27.3-perl"]),
        (newest(1, ">=1", variant="alpine*"), ["1.27.3-alpine", "1.27.3-alpine3.20"]),
        (newest(1, ">=1", variant="*"), ["1.27.3", "1.27.3-alpine", "1.27.3-alpine3.20", "1.27.3-perl"]),
        (newest(1, "<1.28", prereleases=True), ["1.27.3"]),
        (Semver("^1.28", prereleases=True), ["1.28.0-rc1"]),
    ],
)
def test_what_a_pattern_chooses(pattern: Pattern, tags: list[str]) -> None:
    assert chosen(pattern) == tags


def test_each_pattern_is_counted_before_and_after_what_is_excluded() -> None:
    tags = (Glob("1.27*"), Semver(">=2"), Exact("stable"), Glob("*-alpine"))
    tallies = select(tags, [Glob("*-alpine")], [], NGINX).tallies
    assert [(one.pattern, one.matched, one.chosen) for one in tallies] == [
        ('glob "1.27*"', 10, 7),
        ('semver ">=2"', 0, 0),
        ("stable", 1, 1),
        ('glob "*-alpine"', 4, 0),
    ]


def test_exclusion_wins_and_a_pin_is_the_reason_before_a_name_before_a_pattern() -> None:
    assert chosen(Glob("1.27*"), exclude=(Glob("*-*"),)) == ["1.27", "1.27.0", "1.27.1", "1.27.2", "1.27.3"]
    (one,) = select([Glob("stable"), Exact("stable"), Pinned("stable", DIGEST)], [], [], NGINX).chosen
    assert one.pattern == Pinned("stable", DIGEST)
    (other,) = select([Glob("sta*le"), Regex("stable")], [], [Glob("s*")], NGINX).chosen
    assert other.pattern == Glob("sta*le")
    assert other.immutable


def test_a_tag_that_is_listed_twice_counts_once() -> None:
    assert newest(2, "*").matching(["1.1", "1.2", "1.2"]) == {"1.1", "1.2"}


def test_the_schema_has_the_keys_of_each_kind() -> None:
    schema = load_schema("mirrors")["$defs"]["pattern"]
    options = {field.name: key for key, kind in KINDS.items() for field in fields(kind)[1:]}  # type: ignore[arg-type]
    kept = {field.name for field in fields(Kept)}
    assert schema["then"]["anyOf"] == [{"required": [key]} for key in KINDS]
    assert schema["properties"].keys() == KINDS.keys() | options.keys() | kept | {"exclude"}
    assert schema["dependentRequired"] == {option: [key] for option, key in options.items()}


@pytest.mark.parametrize(
    ("entry", "pattern"),
    [
        ("latest", Exact("latest")),
        (f"1@{DIGEST}", Pinned("1", DIGEST)),
        ({"glob": "3*"}, Glob("3*")),
        ({"regex": "3.*"}, Regex("3.*")),
        ({"semver": "3"}, Semver("3")),
        (
            {"newest": 2, "semver": "3", "prereleases": True, "variant": "*"},
            newest(2, "3", prereleases=True, variant="*"),
        ),
        ({"semver": ["1", "3"]}, AnyOf((Semver("1"), Semver("3")))),
        ({"semver": "1", "variant": ["", "slim"]}, Semver("1", variant=("", "slim"))),
        ({"regex": "a.*", "glob": "*b"}, Entry((Glob("*b"), Regex("a.*")))),
        (
            {"glob": "*", "exclude": ["b", {"glob": "c*"}], "newest": 1, "per": "major", "lines": 2, "floating": True},
            Entry((Glob("*"),), (Exact("b"), Glob("c*")), Kept(1, ("major",), 2, floating=True)),
        ),
    ],
)
def test_an_entry_of_each_kind(entry: str | dict[str, object], pattern: Pattern) -> None:
    assert parse_pattern(entry) == pattern


@pytest.mark.parametrize(
    ("entry", "key", "words"),
    [
        ("a:b", None, "'a:b' is not a valid tag"),
        ("a*", None, 'for a pattern write glob: "a*"'),
        ("a@sha256:0", None, "sha256:0"),
        ({"regex": "(?=a)"}, "regex", "invalid perl operator: (?=; RE2 supports neither lookaround"),
        ({"semver": "1 |"}, "semver", "'1 |' is not a valid range of versions: "),
    ],
)
def test_an_entry_that_is_not_a_pattern(entry: str | dict[str, str], key: str | None, words: str) -> None:
    with pytest.raises(PatternError) as caught:
        parse_pattern(entry)
    assert caught.value.key == key
    assert words in caught.value.message


def test_a_list_is_needed_for_patterns_only() -> None:
    assert not needs_listing([Exact("a"), Pinned("b", DIGEST)])
    assert all(needs_listing([Exact("a"), one]) for one in (Glob("*"), Regex("."), Semver("*")))


def test_a_hostile_pattern_cannot_hang_it() -> None:
    listed = ["a" * 127 + "b"] * 10
    started = time.process_time()
    for pattern in (Regex("(a+)+$"), Regex("(a|aa)*c"), Glob("*a*a*a*a*a*a*a*a*c"), Glob("*" * 100 + "c")):
        assert not pattern.matching(listed)
    assert time.process_time() - started < 1


@given(pattern_lists, pattern_lists, pattern_lists, tag_lists, st.randoms())
def test_selection_is_a_pure_subset(
    tags: list[Pattern], exclude: list[Pattern], immutable: list[Pattern], listed: list[str], random: object
) -> None:
    found = select(tags, exclude, immutable, listed).chosen
    names = [one.tag for one in found]
    assert names == sorted(set(names))
    named = {pattern.tag for pattern in tags if isinstance(pattern, Named)}
    assert set(names) <= set(listed) | named
    assert all(one.pattern in tags for one in found)
    assert all(one.pattern.may_choose(one.tag) for one in found)
    assert not any(one.tag in pattern.matching([one.tag]) for one in found for pattern in exclude if _is_plain(pattern))
    shuffled = list(listed) * 2
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert select(tags, exclude, immutable, shuffled).chosen == found


REAL = {
    "alpine": "latest edge 3 3.19 3.19.4 3.20 3.20.0 3.20.3 20240329 20240807",
    "clickhouse": "latest head 24.8 24.8.4 24.8.4.13 24.8.4.13-alpine 24.9.2.42 24.9.2.42-alpine 24.10.1.2812",
    "ubuntu": "latest rolling noble noble-20241015 22.04 24.04 24.10 25.04",
    "postgres": "16 16.4 16.4-alpine 16.4-alpine3.20 16-alpine3.20 17 17.0 17.0-bookworm 17beta3 17rc1 17rc1-alpine",
    "golang": "1.21.13 1.22rc1 1.22 1.22.0 1.22.8 1.23rc2 1.23.2 1.23.2-alpine3.20 tip 1.24rc1",
    "node": "22 22-bookworm-slim 22-slim 22.9.0 22.9.0-slim 22.10.0 22.10.0-slim 22.10.0-bookworm-slim lts current",
}


@pytest.mark.parametrize(
    ("name", "pattern", "tags"),
    [
        ("alpine", Semver(">=3.19 <4"), "3.19 3.19.4 3.20 3.20.0 3.20.3"),
        ("alpine", newest(2, ">=3.19 <4"), "3.20.0 3.20.3"),
        ("alpine", newest(1, ">=3.19"), "3.20.3"),
        ("alpine", newest(1, ">=20200101"), "20240807"),
        ("clickhouse", newest(2, ">=24.8"), "24.10.1.2812 24.9.2.42"),
        ("clickhouse", newest(1, ">=24.8", variant="alpine"), "24.9.2.42-alpine"),
        ("clickhouse", newest(1, "~24.8"), "24.8.4.13"),
        ("ubuntu", Semver(">=24.04"), "24.04 24.10 25.04"),
        ("ubuntu", Semver("24.04 || 22.04"), "22.04 24.04"),
        ("postgres", Semver(">=16"), "16 16.4 17 17.0"),
        ("postgres", newest(1, "^16", variant="alpine*"), "16.4-alpine 16.4-alpine3.20"),
        ("postgres", newest(3, "^17", prereleases=True), "17.0 17beta3 17rc1"),
        ("golang", newest(2, "^1.22"), "1.22.8 1.23.2"),
        ("golang", Semver(">=1.24", prereleases=True), "1.24rc1"),
        ("golang", Semver("~1.22", prereleases=True), "1.22 1.22.0 1.22.8 1.22rc1"),
        ("node", newest(1, "22", variant="slim"), "22.10.0-slim"),
        ("node", newest(1, "22", variant="bookworm*"), "22.10.0-bookworm-slim"),
    ],
)
def test_on_real_lists(name: str, pattern: Pattern, tags: str) -> None:
    assert chosen(pattern, listed=REAL[name].split()) == tags.split()


@given(pattern_lists, pattern_lists, tag_lists)
def test_selecting_from_what_was_selected_changes_nothing(
    tags: list[Pattern], exclude: list[Pattern], listed: list[str]
) -> None:
    plain = [pattern for pattern in exclude if _is_plain(pattern)]
    unranked = [pattern for pattern in tags if _is_plain(pattern)]
    found = select(unranked, plain, [], listed).chosen
    assert select(unranked, plain, [], [one.tag for one in found]).chosen == found


@given(pattern_lists, patterns, tag_lists)
def test_a_further_pattern_takes_nothing_away(tags: list[Pattern], further: Pattern, listed: list[str]) -> None:
    before = {one.tag for one in select(tags, [], [], listed).chosen}
    assert before <= {one.tag for one in select([*tags, further], [], [], listed).chosen}


RELEASES = st.lists(
    st.from_regex(r"v?[1-9]\.[0-9]{1,2}\.[0-9]{1,2}(-(rc[0-9]|alpine|slim))?", fullmatch=True), max_size=12
)
COUNTING = st.builds(
    newest,
    st.integers(1, 4),
    st.sampled_from([">=1 <5", "*", "^2"]),
    prereleases=st.booleans(),
    variant=st.sampled_from(["", "*", "alp*"]),
)


def releases(tags: Iterable[str]) -> set[object]:
    return {version.release for tag in tags if (version := parse_version(tag))}


@given(COUNTING, RELEASES)
def test_newest_chooses_the_newest_versions_and_all_there_are_if_there_are_fewer(
    pattern: Entry, listed: list[str]
) -> None:
    everything = pattern.conditions[0].matching(listed)
    assert pattern.kept.newest
    top = sorted(releases(everything), reverse=True)[: pattern.kept.newest]  # type: ignore[type-var]
    found = pattern.matching(listed)
    assert releases(found) == set(top)
    assert found == {tag for tag in everything if releases([tag]) <= set(top)}, "with all their variants"


@given(COUNTING, RELEASES, st.from_regex(r"v?0\.[0-9]{1,2}\.[0-9]{1,2}(-alpine)?", fullmatch=True))
def test_an_older_tag_takes_no_place(pattern: Entry, listed: list[str], tag: str) -> None:
    before = pattern.matching(listed)
    after = pattern.matching([*listed, tag])
    assert before <= after
    assert after - before <= {tag}


def names_of(listed: list[str]) -> list[str]:
    """The floating tags beside releases, e.g. 3-alpine and 3.20-alpine beside 3.20.1-alpine."""
    cut = [re.fullmatch(r"((v?[0-9]+)\.[0-9]+)\.[0-9]+(-[a-z]{3,})?", tag) for tag in listed]
    return [f"{name}{match[3] or ''}" for match in cut if match for name in match.groups()[:2]]


@given(COUNTING, RELEASES)
def test_floating_tags_take_no_place(pattern: Entry, listed: list[str]) -> None:
    assert pattern.matching([*listed, *names_of(listed)]) == pattern.matching(listed)


@given(RELEASES.filter(bool), st.integers(0, 30))
def test_a_floating_tag_does_not_depend_on_a_patch_release(listed: list[str], patch: int) -> None:
    pattern = newest(1, "*", variant="*", per=("minor",), lines=2, floating=True)
    names = names_of(listed)
    there = pattern.matching([*listed, *names]) & set(names)
    for tag in names_of(listed)[::2]:
        line = tag.partition("-")[0]
        assert pattern.matching([*listed, *names, f"{line}.{patch}"]) & set(names) == there


def _is_plain(pattern: Pattern) -> bool:
    """Whether what it chooses does not depend on the other tags."""
    return not pattern.is_relative
