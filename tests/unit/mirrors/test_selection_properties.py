"""What holds for every list of tags and every entry: no surprise when upstream publishes another tag."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from reconciler.mirrors.patterns import parse_pattern
from reconciler.mirrors.selection import select
from reconciler.mirrors.tag_list import TagList
from reconciler.mirrors.versions import Version, parse_version

VARIANTS = ("", "-alpine", "-alpine3.20", "-slim")

numbers = st.lists(st.integers(0, 5), min_size=1, max_size=4)
suffixes = st.sampled_from([*VARIANTS, *VARIANTS, "-r1", "_2", "-alpine-r3", "-rc1", ".Final", "-ls7", "-0a1b2c3d"])
versions = st.builds(
    lambda v, some, suffix: v + ".".join(map(str, some)) + suffix, st.sampled_from(["", "v"]), numbers, suffixes
)
tag_lists = st.lists(st.one_of(versions, versions, st.sampled_from(["latest", "edge", "alpine"])), max_size=30)
patches = st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.sampled_from(VARIANTS))

ranges = st.fixed_dictionaries(
    {"semver": st.sampled_from(["*", ">=1", "^2", ">=1.2 <4", "1 || 3"])},
    optional={
        "variant": st.sampled_from(["*", "alpine*", ["", "slim"]]),
        "prereleases": st.booleans(),
        "exclude": st.just([{"glob": "*.3*"}]),
        "floating": st.booleans(),
    },
)
per_line = st.fixed_dictionaries(
    {"per": st.sampled_from(["minor", "major", ["minor", "variant"], "variant"]), "newest": st.integers(1, 3)}
)
lines = st.fixed_dictionaries(
    {"per": st.sampled_from(["minor", "major"]), "newest": st.integers(1, 2), "lines": st.integers(1, 3)}
)
counted = st.fixed_dictionaries({"newest": st.integers(1, 4)})
entries = st.builds(lambda entry, kept: {**entry, **kept}, ranges, st.one_of(st.just({}), counted, per_line, lines))


def chosen(entry: dict[str, Any], listed: list[str]) -> set[str]:
    return {one.tag for one in select([parse_pattern(entry)], [], [], listed).chosen}


def parsed(tags: set[str] | list[str]) -> list[Version]:
    return [version for tag in tags if (version := parse_version(tag))]


def floating(listed: list[str]) -> set[str]:
    tags = TagList(listed)
    return {version.tag for version in parsed(listed) if tags.floats(version)}


@given(entries, tag_lists, st.randoms())
def test_the_order_of_the_list_does_not_matter(entry: dict[str, Any], listed: list[str], random: Any) -> None:
    shuffled = [*listed, *listed[:3]]
    random.shuffle(shuffled)
    assert chosen(entry, shuffled) == chosen(entry, listed)


@given(entries, tag_lists, versions)
def test_an_older_tag_removes_none_that_is_chosen(entry: dict[str, Any], listed: list[str], older: str) -> None:
    before = chosen(entry, listed)
    added = parse_version(older)
    assert added
    assume(all(added.release < version.release for version in parsed(before)))
    assert chosen(entry, [*listed, older]) >= before


@given(ranges, st.integers(1, 4), tag_lists)
def test_newest_chooses_as_many_as_there_are(entry: dict[str, Any], count: int, listed: list[str]) -> None:
    every = parsed(chosen({**entry, "floating": False}, listed))
    kept = parsed(chosen({**entry, "newest": count, "floating": False}, listed))
    releases = sorted({version.release for version in every}, reverse=True)
    assert sorted({version.release for version in kept}, reverse=True) == releases[:count]
    assert len(kept) == sum(version.release in releases[:count] for version in every), "with all their tags"


@given(st.one_of(st.builds(lambda a, b: {**a, **b}, ranges, lines), ranges), tag_lists, patches, st.integers(1, 9))
def test_a_patch_release_neither_brings_nor_takes_floating_tags(
    entry: dict[str, Any], listed: list[str], released: tuple[int, int, int, str], later: int
) -> None:
    major, minor, patch, variant = released
    listed = [*listed, f"{major}.{minor}.{patch}{variant}"]
    further = f"{major}.{minor}.{patch + later}{variant}"
    names = floating([*listed, further])
    entry = {**entry, "exclude": []}
    assert chosen(entry, [*listed, further]) & names - {further} == chosen(entry, listed) & names - {further}


@given(st.builds(lambda a, b: {**a, **b}, ranges, st.one_of(counted, per_line, lines)), tag_lists)
def test_floating_tags_take_no_place(entry: dict[str, Any], listed: list[str]) -> None:
    entry = {**entry, "floating": False}
    names = floating(listed)
    assert not chosen(entry, listed) & names
    firm = [tag for tag in listed if tag not in names]
    assert chosen(entry, firm) == chosen(entry, listed)


@given(tag_lists)
def test_a_range_freezes_no_floating_tag(listed: list[str]) -> None:
    every = parse_pattern({"glob": "*"})
    frozen = select([every], [], [parse_pattern({"semver": ">=0", "variant": "*"})], listed).chosen
    assert not {one.tag for one in frozen if one.immutable} & floating(listed)


def test_a_candidate_of_the_next_patch_does_not_replace_a_release() -> None:
    entry = {"semver": "*", "newest": 2}
    assert chosen(entry, ["1.2", "1.3", "1.3.1-rc1"]) == {"1.2", "1.3"}
    assert chosen(entry, ["1.2", "1.3", "1.3.1-rc1", "1.3.1"]) == {"1.2", "1.3.1"}
