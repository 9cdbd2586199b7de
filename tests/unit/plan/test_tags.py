"""What patterns choose of a tag list, and why the other tags are left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import Malformed, NotFound
from reconciler.mirrors import tag_list
from reconciler.mirrors.model import Mirror
from reconciler.mirrors.patterns import parse_pattern
from reconciler.mirrors.selection import select
from reconciler.mirrors.typed import parse_typed
from reconciler.mirrors.versions import Version, in_order, parse_version
from reconciler.plan.tags import ATTACHED, Choice, choose, choose_for, list_tags
from tests.parts.images import app, write_layout

ALPINE = ["3.17.9", "3.18.0", "3.18.1", "3.18", "3.19.0-rc1", "3.19.0", "3.19", "3", "20240329", "edge", "latest"]
MIRROR = Mirror(
    "docker.io/library/alpine",
    "library/alpine",
    parse_typed(['{semver: ">=3.18", newest: 2}']),
    parse_typed(["3.19.0"]),
    (),
    None,
    prune=True,
    retain=timedelta(days=7),
)
SIGNATURE = f"sha256-{'0' * 64}.sig"


def reasons(choice: Choice) -> dict[str, str]:
    return {row.tag: row.reason for row in choice.rows if row.reason}


def chosen(choice: Choice) -> list[str]:
    return [row.tag for row in choice.chosen]


def test_each_tag_has_the_pattern_that_chooses_it_or_a_reason() -> None:
    choice = choose("alpine", parse_typed(['{semver: ">=3.18", newest: 2}']), parse_typed(["{glob: '*e*'}"]), ALPINE)
    assert chosen(choice) == ["3.18.1", "3.19.0"]
    assert {row.pattern for row in choice.chosen} == {'semver ">=3.18", newest 2'}
    why = reasons(choice)
    assert why.keys() == set(ALPINE) - {"3.18.1", "3.19.0"}
    assert why["3.17.9"] == "outside the range"
    assert why["3.18.0"] == "older than the newest 2"
    assert why["3.19.0-rc1"] == "a pre-release"
    assert why["edge"] == 'excluded by glob "*e*"'
    assert "floating" in why["3.19"]


def test_patterns_are_named_where_their_reasons_differ() -> None:
    why = reasons(choose("alpine", parse_typed(['{semver: ">=3.19"}', "{glob: '3.1?.0'}"]), (), ALPINE))
    assert why["latest"].startswith('semver ">=3.19": not a version; glob "3.1?.0": ')


def test_tags_that_are_named_and_not_listed() -> None:
    choice = choose("alpine", parse_typed(["3.18.0", "4.0"]), (), ALPINE)
    assert (chosen(choice), choice.missing) == (["3.18.0"], ("4.0",))


@pytest.mark.parametrize(
    "typed",
    [
        ['{semver: ">=3.18", newest: 2}', '{semver: "*", variant: "*", per: minor, newest: 1, floating: true}'],
        [r"{regex: '(.+)\.\d+', newest: 2}", '{semver: "=77"}', "{glob: 'x*'}"],
        [r"{regex: '(\d.*)-rc1', semver: '*', newest: 1, exclude: [{semver: '>=4'}]}"],
    ],
)
def test_each_text_is_parsed_once_however_much_is_asked_about_it(
    typed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Counter[str] = Counter()

    def counting(text: str) -> Version | None:
        asked[text] += 1
        return parse_version(text)

    monkeypatch.setattr(tag_list, "parse_version", counting)
    choose("alpine", parse_typed(typed), parse_typed(['{semver: "3.17"}']), [*ALPINE, "20240329.1", "3.18.1-slim"])
    assert set(asked.values()) == {1}


def test_a_pattern_that_chooses_nothing_is_a_warning() -> None:
    (warning,) = choose("alpine", parse_typed(['{semver: ">=4"}']), (), ALPINE).warnings
    assert 'semver ">=4" chooses none of 11 tags' in warning


def test_without_patterns_the_tags_are_listed_in_order() -> None:
    choice = choose("alpine", (), (), ALPINE)
    assert [row.tag for row in choice.rows] == sorted(ALPINE, key=in_order)
    assert not choice.chosen
    assert not reasons(choice)


def test_a_mirror_with_its_exclude() -> None:
    choice = choose_for(MIRROR, tuple(ALPINE))
    assert chosen(choice) == ["3.18.0", "3.18.1"]
    assert reasons(choice)["3.19.0"] == "excluded by 3.19.0"
    assert chosen(choose_for(MIRROR, tuple(ALPINE), parse_typed(["{glob: '3.19*'}"]))) == ["3.19.0-rc1", "3.19"]


def test_tags_of_signatures_come_along_with_their_images() -> None:
    everything = replace(MIRROR, tags=parse_typed(["{glob: '*'}"]), exclude=())
    listed = (*ALPINE, SIGNATURE)
    assert SIGNATURE in chosen(choose_for(everything, listed))
    assert reasons(choose_for(replace(everything, referrers=True), listed)) == {SIGNATURE: ATTACHED}


@given(
    st.lists(st.sampled_from([*ALPINE, "3.20.1", "v3.20.1", "4-slim", SIGNATURE]), unique=True),
    st.lists(
        st.sampled_from(
            [{"semver": ">=3.18", "newest": 2}, {"glob": "3*"}, {"regex": ".*", "newest": 1}, "latest", {"semver": "*"}]
        ),
        min_size=1,
        max_size=3,
    ),
    st.lists(st.sampled_from([{"glob": "*-rc*"}, {"semver": "*", "newest": 1}, "3.19.0"]), max_size=2),
)
def test_what_is_shown_is_what_a_plan_would_choose(
    listed: list[str], tags: list[object], exclude: list[object]
) -> None:
    patterns, excluded = ([parse_pattern(one) for one in entries] for entries in (tags, exclude))  # type: ignore[arg-type]
    choice = choose("it", patterns, excluded, listed)
    selected = {one.tag: str(one.pattern) for one in select(patterns, excluded, (), listed).chosen}
    assert {row.tag: row.pattern for row in choice.chosen} == {
        tag: selected[tag] for tag in selected.keys() & set(listed)
    }
    assert set(choice.missing) == selected.keys() - set(listed)
    assert all(row.reason for row in choice.rows if row.pattern is None)


def test_the_tags_of_a_source(tmp_path: Path) -> None:
    image = app("1")
    write_layout(tmp_path / "layout", {"1.0": image, "latest": image})
    assert sorted(list_tags("oci:layout", {}, tmp_path, {})) == ["1.0", "latest"]


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        list_tags("oci:missing", {}, tmp_path, {})
    with pytest.raises(Malformed):
        list_tags("a b", {}, tmp_path, {})
