"""What is selected with several patterns, and why the other tags are not."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.mirrors import tag_list
from reconciler.mirrors.patterns import Pattern, parse_pattern
from reconciler.mirrors.selection import Tally, explain, select
from reconciler.mirrors.versions import parse_version

ALPINE = "latest edge 3 3.19 3.19.6 3.19.7 3.20 3.20.6 3.20.7 3.21.0_rc1 3.20.7-slim 20240329"
ENTRIES: list[Any] = [
    "latest",
    "nowhere",
    {"semver": ">=3.19", "newest": 2},
    {"semver": "*", "variant": "*", "prereleases": True},
    {"semver": "*", "per": "minor", "newest": 1, "floating": True},
    {"glob": "3*", "exclude": [{"glob": "*-slim"}]},
    {"regex": r"3\.(\d+).*", "newest": 1, "order": "number"},
    {"glob": "3*", "newest": 1},
]


def patterns(*entries: Any) -> list[Pattern]:
    return [parse_pattern(entry) for entry in entries]


def chosen(tags: list[Any], listed: str, exclude: list[Any] | None = None) -> str:
    return " ".join(one.tag for one in select(patterns(*tags), patterns(*(exclude or [])), (), listed.split()).chosen)


def test_what_is_excluded_takes_no_place() -> None:
    newest = {"semver": "*", "newest": 2}
    assert chosen([newest], ALPINE) == "3.20.6 3.20.7"
    assert chosen([newest], ALPINE, ["3.20.7"]) == "3.19.7 3.20.6"
    assert chosen([newest], ALPINE, [{"semver": "3.20.x", "newest": 1}]) == "3.19.7 3.20.6"
    found = select(patterns(newest), patterns({"glob": "3.20*"}), (), ALPINE.split())
    assert found.tallies == (Tally('semver "*", newest 2', 5, 2),), "3.20, 3.20.6 and 3.20.7 match too"


@pytest.mark.parametrize(
    ("immutable", "listed", "frozen"),
    [
        ({"semver": ">=0"}, "3 3.20 3.20.1 24.04 latest", "24.04 3.20.1"),
        ({"glob": "*"}, "3 3.20 3.20.1", "3 3.20 3.20.1"),
        ({"semver": ">=0", "floating": True}, "3 3.20 3.20.1", "3 3.20 3.20.1"),
        ("3", "3 3.20.1", "3"),
        ({"semver": "*"}, "4.0.0 4.0.0-ls330 4.0.0-ls331", "4.0.0-ls330 4.0.0-ls331"),
    ],
)
def test_a_range_freezes_no_floating_tag(immutable: Any, listed: str, frozen: str) -> None:
    found = select(patterns({"glob": "*"}), (), patterns(immutable), listed.split()).chosen
    assert " ".join(one.tag for one in found if one.immutable) == frozen


def test_without_a_list_a_version_of_few_numbers_may_float() -> None:
    found = select(patterns("3", "3.20", "3.20.1"), (), patterns({"semver": ">=0"}), ()).chosen
    assert [one.tag for one in found if one.immutable] == ["3.20.1"]


def test_why_each_tag_is_out() -> None:
    entry = {"semver": ">=3.19", "newest": 1}
    found = explain(patterns(entry), patterns("3.20.7"), [*ALPINE.split(), "3.18.1"])
    assert {one.tag: one.reasons[0][1] for one in found if one.reasons} == {
        "20240329": "a number of five or more digits alone is not a version, unless the range begins at one",
        "3": "outside the range",
        "3.18.1": "outside the range",
        "3.19": "a floating tag, a name of 3.19.7",
        "3.19.6": "older than the newest 1",
        "3.19.7": "older than the newest 1",
        "3.20": "a floating tag, a name of 3.20.7",
        "3.20.7": "excluded",
        "3.20.7-slim": "of another variant",
        "3.21.0_rc1": "a pre-release",
        "edge": "not a version",
        "latest": "not a version",
    }
    assert [one.tag for one in found if one.chosen] == ["3.20.6"]


@given(
    st.lists(st.sampled_from(ENTRIES), max_size=3),
    st.lists(st.sampled_from(ENTRIES), max_size=2),
    st.lists(st.sampled_from(ALPINE.split())),
)
def test_the_explanation_agrees_with_the_selection(tags: list[Any], exclude: list[Any], listed: list[str]) -> None:
    found = explain(patterns(*tags), patterns(*exclude), listed)
    assert [one.tag for one in found] == sorted(set(listed))
    selected = {one.tag for one in select(patterns(*tags), patterns(*exclude), (), listed).chosen}
    assert {one.tag for one in found if one.chosen} == selected & set(listed)
    assert all(one.reasons or one.chosen or not tags for one in found)


@pytest.mark.parametrize(
    ("entry", "listed", "tags"),
    [
        ({"regex": "controller-v(.*)", "newest": 2}, "controller-v1.9.0 controller-v1.10.0 controller-v1.10 v3.0.0",
         "controller-v1.10.0 controller-v1.9.0"),
        ({"regex": "controller-(.*)", "semver": "^1", "newest": 1}, "controller-v1.9.0 controller-v2.0.0 x",
         "controller-v1.9.0"),
        ({"regex": "controller-(.*)", "per": "minor", "newest": 1}, "controller-1.9.0 controller-1.9.1 controller-main",
         "controller-1.9.1"),
        ({"glob": "release-*", "newest": 1}, "release-1.0.9 release-1.0.10 release-1.0.10.sig", "release-1.0.10.sig"),
        ({"regex": r"\w+-(\d{8})(-slim)?", "newest": 1}, "trixie-20260803 trixie-20260803-slim trixie-20260701",
         "trixie-20260803 trixie-20260803-slim"),
        ({"regex": "(.*)-(amd|arm)64", "newest": 1, "order": "text"}, "9-amd64 10-amd64 9-arm64", "9-amd64 9-arm64"),
        ({"regex": r"b\d+", "newest": 2}, "b9 b10 b11", "b10 b11"),
        ({"regex": "(3|4)[.].*", "semver": "*", "newest": 1}, "3.1.0 4.1.0 4.2.0 5.0.0", "4.2.0"),
        ({"glob": "*", "newest": 2}, "1 1.2 1.2.3 1.2.4 v1.2.4", "1.2.3 1.2.4 v1.2.4"),
        ({"semver": "*", "newest": 1, "prereleases": True}, "1.26-rc 1.26rc1 1.26rc2", "1.26rc2"),
        ({"semver": ">=0", "newest": 1}, "0.118.5 2024.1.6 2024.2.5", "2024.2.5"),
        ({"semver": ">=2021", "newest": 1}, "2.1.0 2.2.0 2.3.0 2021.11.28", "2021.11.28"),
        ({"semver": ">=0", "newest": 1}, "2.1.0 2.2.0 2.3.0 2021.11.28", "2.3.0"),
        ({"semver": "*", "per": "major", "lines": 1}, "9.1 9.2 10.1 10.2", "10.1 10.2"),
        ({"semver": "*", "per": ["major", "variant"], "newest": 1, "variant": "*"}, "9.1 9.2 9.1-slim", "9.1-slim 9.2"),
    ],
)  # fmt: skip
def test_what_is_counted(entry: Any, listed: str, tags: str) -> None:
    assert chosen([entry], listed) == tags


def test_a_list_is_parsed_once_for_all_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: Counter[str] = Counter()

    def counted(tag: str) -> object:
        parsed[tag] += 1
        return parse_version(tag)

    monkeypatch.setattr(tag_list, "parse_version", counted)
    listed = [f"1.{number}.{patch}" for number in range(20) for patch in range(20)]
    newest = {"semver": "*", "newest": 3}
    select(patterns(newest, {"semver": "^1", "per": "minor", "newest": 1}), patterns(newest), patterns(newest), listed)
    assert parsed == Counter(listed)
