"""image-syncer's files -> mirrors.yaml."""

from __future__ import annotations

import re

import pytest

from tests.parts.foreign import FILES, PIN
from tests.parts.imports import LISTS, choice, imported, notes_of, result_of, tags_of


def test_images_and_logins_in_one_file_or_in_two() -> None:
    result = result_of(FILES["image-syncer"])
    assert result["registries"] == {
        "docker.io": {"username_env": "U", "password_env": "P"},
        "quay.io": {"plain_http": True},
    }
    assert {(one["source"], one["target"]): one["tags"] for one in result["mirrors"]} == {
        ("quay.io/coreos/a", "r/a"): [{"glob": "*"}],
        ("quay.io/coreos/b", "r/b"): ["v1.0", "v2.0"],
        ("quay.io/coreos/d", "r/d1"): ["v1.1"],
        ("quay.io/coreos/d", "r/d2"): ["v1.1"],
        ("quay.io/coreos/e", "r/e"): [{"regex": "v1.*"}],
        ("quay.io/coreos/f", "r/f"): ["v1"],
    }
    apart = result_of('docker.io: {username: "$U", password: "$P"}', "quay.io/a/b: r.example.com/a/b")
    assert apart["registries"] == {"docker.io": {"username_env": "U", "password_env": "P"}}


def test_tags_that_are_renamed_are_noted() -> None:
    notes = notes_of(imported(FILES["image-syncer"]))
    assert any("tags are not renamed" in note for note in notes)
    assert any("a digest without a tag" in note for note in notes)
    (mirror,) = result_of(f"quay.io/a/b@{PIN}: r.example.com/a/b:1.0")["mirrors"]
    assert mirror["tags"] == [f"1.0@{PIN}"]


@pytest.mark.parametrize("name", LISTS)
def test_expressions_match_any_part(name: str) -> None:
    (mirror,) = result_of("quay.io/a/b:/1[.]2|^v/: r.example.com/a/b")["mirrors"]
    assert choice(mirror, tags_of(name)) == {tag for tag in tags_of(name) if re.search("1[.]2|^v", tag)}
