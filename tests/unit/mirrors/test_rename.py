"""`rename`: the names that it makes, and what is wrong with it whatever the source lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import MirrorsInvalid
from reconciler.mirrors.load import load_mirrors
from reconciler.mirrors.patterns import Exact, Glob, Regex, parse_pattern
from reconciler.mirrors.rename import Rename

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.mirrors.model import Mirrors

HEAD = "version: 1\nstore: {type: file, path: ./m}\nmirrors:\n  - source: docker.io/library/alpine\n    "


def load(folder: Path, text: str) -> Mirrors:
    (folder / "mirrors.yaml").write_text(HEAD + text)
    return load_mirrors(folder / "mirrors.yaml", {})


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(MirrorsInvalid) as caught:
        load(folder, text)
    return [str(one) for one in caught.value.problems]


@pytest.mark.parametrize(
    ("template", "tag", "name"),
    [
        ("{tag}-mirror", "3.20", "3.20-mirror"),
        ("{without_v}", "v1.2", "1.2"),
        ("{without_v}", "1.2", "1.2"),
        ("{without_v}", "vanilla", "vanilla"),
        ("{without_v}", "v1-v2", "1-v2"),
        ("{1}.{2}", "v1.20-alpine", "1.20"),
        ("{variant}-{1}", "v1.20-alpine", "alpine-1"),
    ],
)
def test_the_names_that_a_template_makes(template: str, tag: str, name: str) -> None:
    patterns = (Exact("x"), parse_pattern({"regex": r"v?(\d+)\.(\d+)(?:-(?P<variant>.*))?", "newest": 3}))
    assert Rename(template).name(tag, patterns) == name


def test_the_groups_are_those_of_the_first_regex_that_matches() -> None:
    patterns = (Regex("a-(.*)"), Regex("b-(.*)"), Regex("(.*)"))
    assert [Rename("{1}").name(tag, patterns) for tag in ("b-1", "c-1")] == ["1", "c-1"]


def test_a_group_that_takes_no_part_is_empty() -> None:
    assert Rename("{1}x{2}").name("b", (Regex("(a)|(b)"),)) == "xb"


@given(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True))
def test_the_name_of_a_tag_is_the_tag_where_the_template_says_so(tag: str) -> None:
    assert Rename("{tag}").name(tag, (Glob("*"),)) == tag


def test_defaults_rename_unless_a_mirror_keeps_its_tags(tmp_path: Path) -> None:
    text = "tags: [a]\n  - {source: x/y, tags: [a], rename: '{tag}'}\ndefaults: {rename: '{tag}-mirror'}"
    one, other = load(tmp_path, text).mirrors
    assert (one.name_of("a"), other.name_of("a")) == ("a-mirror", "a")
    assert set(one.named) == {"a-mirror"}


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("tags: [v1.0, '1.0']\n    rename: '{without_v}'", "5:18: mirrors[0].tags[1]: rename makes 1.0 of both v1.0 on line 5 and 1.0; remove"),
        ("tags: [v1.0]\n    rename: '{tag} x'", "6:13: mirrors[0].rename: '{tag} x' does not make a valid tag"),
        ("tags: [v1.0]\n    rename: '.{tag}'", "6:13: mirrors[0].rename: '.{tag}' does not make a valid tag"),
        ("tags: [latest, {regex: 'v(.*)'}]\n    rename: '{1}'", "mirrors[0].tags[0]: rename uses {1}, and this entry has no regex with that group; write e.g. regex: '(latest)'"),
        ("tags: [{glob: '*'}]\n    rename: '{name}'", "mirrors[0].tags[0]: rename uses {name}, and this entry has no regex with that group"),
        ("tags: [{regex: ['v(.*)', 'w.*']}]\n    rename: '{1}'", "rename uses {1}, and this entry has no regex"),
        (f"tags: [{'a' * 128}]\n    rename: '{{tag}}-mirror'", "which is not a valid tag"),
        ("tags: [v1.0]\n    rename: ''", "mirrors[0].rename: "),
    ],
)  # fmt: skip
def test_what_is_wrong_whatever_the_source_lists(tmp_path: Path, entry: str, problem: str) -> None:
    (found,) = problems(tmp_path, entry)
    assert problem in found


def test_a_pin_and_its_name_are_one_tag(tmp_path: Path) -> None:
    load(tmp_path, f"tags: [v1.0, 'v1.0@sha256:{'0' * 64}']\n    rename: '{{without_v}}'")
