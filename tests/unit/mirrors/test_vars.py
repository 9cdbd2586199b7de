"""`vars`: where names are replaced, what is wrong with them, and that nothing else comes in."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import MirrorsInvalid
from reconciler.mirrors.files import Files
from reconciler.mirrors.load import Loaded, load_with_notes
from reconciler.mirrors.parse import parse_document
from reconciler.mirrors.vars import replace_vars

STORE = "version: 1\nstore: {type: file, path: ./m}\n"


def load(folder: Path, text: str, team: str = "") -> Loaded:
    (folder / "mirrors.yaml").write_text(STORE + text)
    if team:
        (folder / "team.yaml").write_text(f"version: 1\n{team}")
    return load_with_notes(folder / "mirrors.yaml", {"HOME": "/root", "stable": "from the environment"})


def problems(folder: Path, text: str, team: str = "") -> list[str]:
    with pytest.raises(MirrorsInvalid) as caught:
        load(folder, text, team)
    return [str(one).replace(f"{folder}/", "") for one in caught.value.problems]


def test_names_are_replaced_wherever_a_mirror_says_what_it_mirrors(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        """\
vars: {hub: docker.io, stable: ">=3.18", flavour: alpine, place: base}
defaults: {exclude: [{glob: "x-${vars.flavour}"}], immutable: ["${vars.flavour}"], target_prefix: "${vars.place}"}
mirrors:
- source: ${vars.hub}/library/${vars.flavour}
  target: x/${vars.flavour}
  tags: [{semver: "${vars.stable}"}, "v-${vars.flavour}", {glob: ["${vars.flavour}*", b]}]
""",
    )
    (mirror,) = found.mirrors.mirrors
    assert (mirror.source, mirror.target) == ("docker.io/library/alpine", "base/x/alpine")
    words = [*map(str, (*mirror.tags, *mirror.exclude, *mirror.immutable))]
    assert "${" not in "".join(words)
    assert ">=3.18" in words[0]
    assert words[1] == "v-alpine"
    assert found.warnings == ()


def test_an_included_file_sees_the_names_of_the_including_one_and_its_own(tmp_path: Path) -> None:
    top = "vars: {a: one, unused: x}\ninclude: [team.yaml]\nmirrors:\n- {source: quay.io/o/own, tags: [x]}\n"
    team = "vars: {b: two, none: y}\nmirrors:\n- {source: 'quay.io/o/${vars.a}-${vars.b}', tags: [x]}\n"
    found = load(tmp_path, top, team)
    assert found.mirrors.mirrors[1].target == "o/one-two"
    assert [str(one).replace(f"{tmp_path}/", "") for one in found.warnings] == [
        "mirrors.yaml:3:16: vars.unused: nothing uses it; remove it",
        "team.yaml:2:16: vars.none: nothing uses it; remove it",
    ]
    (one,) = problems(tmp_path, top.replace("{source: quay.io/o/own", "{source: 'quay.io/o/${vars.b}'"), team)
    assert "'b' is not defined under vars; defined: a, unused" in one


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("${vars.none}", "mirrors[0].tags[0]: 'none' is not defined under vars; defined: a"),
        ("${vars.A}", "mirrors[0].tags[0]: 'A' is not defined under vars; defined: a"),
        ("${vars.}", "mirrors[0].tags[0]: '' is not defined under vars"),
        ("${vars.a", "'${vars.a' has a name that does not have the form ${vars.NAME}"),
        ("${vars}", "has a name that does not have the form"),
        ("${vars.a}" * 5, "has 1250 characters once its names are replaced; the maximum is 1000"),
        ("${stable}", "'${stable}'"),
        ("${HOME}", "'${HOME}'"),
    ],
)
def test_a_name_that_is_of_no_use(tmp_path: Path, value: str, message: str) -> None:
    text = f"vars: {{a: {'x' * 250}}}\nmirrors:\n- source: quay.io/o/a\n  tags:\n  - '{value}'\n  - '${{vars.a}}'\n"
    found = problems(tmp_path, text)
    assert [one for one in found if one.startswith("mirrors.yaml:7:5: ") and message in one], found


def test_values_are_texts_in_which_nothing_is_replaced(tmp_path: Path) -> None:
    text = 'vars: {a: "${HOME}", b: "${vars.a}", c: 3.20, D: x}\nmirrors:\n- {source: a.example/b, tags: [x]}\n'
    found = [one.removeprefix("mirrors.yaml:") for one in problems(tmp_path, text)]
    assert found[0].startswith("3:11: vars.a: '${HOME}' has ${: no name is replaced")
    assert found[1].startswith("3:25: vars.b: ")
    assert found[2].startswith('3:41: vars.c: YAML reads this as the number 3.2; write it in quotes: "3.20"')
    assert found[3].startswith("3:47: vars.D: ")


def test_a_name_in_two_files_names_both_places(tmp_path: Path) -> None:
    top = "vars: {a: one}\ninclude: [team.yaml]\n"
    team = "vars:\n  a: two\nmirrors:\n- {source: 'quay.io/o/${vars.a}', tags: [x]}\n"
    assert problems(tmp_path, top, team) == [
        "team.yaml:3:3: vars.a: is also on line 3 of mirrors.yaml; give one of them another name"
    ]


@given(st.text(st.sampled_from("${}vars.ab"), max_size=30), st.text(st.sampled_from("ab{}.$"), max_size=6))
def test_a_text_without_a_name_stays_and_one_with_a_name_is_replaced_once(text: str, value: str) -> None:
    document = parse_document(b"mirrors: [{source: x}]", "mirrors.yaml")
    document.value["mirrors"][0]["source"] = text
    document.value["vars"] = {"a": value}
    document.written["vars",] = document.written["vars", "a"] = document.written[()]
    replace_vars(Files(document, (), Path(), ""))
    if "${vars" not in text:
        assert document.value["mirrors"][0]["source"] == text
    elif not document.problems:
        assert document.value["mirrors"][0]["source"] == text.replace("${vars.a}", value)
