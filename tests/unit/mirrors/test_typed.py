"""Patterns as people type them."""

from __future__ import annotations

import pytest

from reconciler.errors import PatternsInvalid
from reconciler.mirrors.patterns import parse_pattern
from reconciler.mirrors.typed import parse_typed


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("latest", "latest"),
        ("3.20", "3.20"),
        ("true", "true"),
        (f"3.20@sha256:{'0' * 64}", f"3.20@sha256:{'0' * 64}"),
        ('{semver: ">=3.18 <4", newest: 3}', {"semver": ">=3.18 <4", "newest": 3}),
        ('{"glob": "3.*"}', {"glob": "3.*"}),
        (" {\n  glob: '*-slim',\n  newest: 2\n} # comment", {"glob": "*-slim", "newest": 2}),
        ('{semver: "*", exclude: [{glob: "*-rc*"}]}', {"semver": "*", "exclude": [{"glob": "*-rc*"}]}),
    ],
)
def test_a_typed_pattern_is_an_entry_of_mirrors_yaml(text: str, entry: object) -> None:
    assert parse_typed([text]) == (parse_pattern(entry),)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["3.*"], 'pattern 3.*: \'3.*\' is not a valid tag: expected at most 128 letters, digits, _ . and -'),
        (["{semver: 3.20}"], 'pattern {semver: 3.20}: semver: YAML reads this as the number 3.2; write it in quotes: "3.20"'),
        (["{semver: '>=17-jdk'}"], 'write semver: ">=17" and variant: jdk'),
        (["{globe: '*'}"], "pattern {globe: '*'}: globe: unknown key in pattern; did you mean glob?"),
        (["a", "{glob: ''}"], "pattern {glob: ''}: glob: is empty; write for example"),
        (["{glob: a"], "pattern {glob: a: not YAML: "),
        (["{glob: a}\n  - {glob: b}"], "not YAML: "),
        (["{glob: a, glob: b}"], "duplicate key"),
        (['semver: ">=3"'], '; write {semver: ">=3"}'),
        (["glob=3*"], '; write {glob: "3*"}'),
        ([">=3 <4"], '; write {semver: ">=3 <4"}'),
        (["{}"], "pattern {}: "),
        (["{glob: '\ud800'}"], "pattern {glob: "),
        ([f"a@sha256:{'0' * 64}", f"a@sha256:{'1' * 64}"], "a is also pinned to another digest"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_as_for_mirrors_yaml(texts: list[str], words: str) -> None:
    with pytest.raises(PatternsInvalid) as caught:
        parse_typed(texts)
    assert words in str(caught.value)


def test_every_problem_is_reported() -> None:
    with pytest.raises(PatternsInvalid) as caught:
        parse_typed(["a b", "{semver: x-}", "{regex: '('}"])
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "pattern a b",
        "pattern {semver",
        "pattern {regex",
    ]


def test_no_pattern_is_none() -> None:
    assert parse_typed([]) == ()
