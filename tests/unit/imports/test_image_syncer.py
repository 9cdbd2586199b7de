"""image-syncer's files -> mirrors.yaml."""

from __future__ import annotations

import re

import pytest

from reconciler.errors import MirrorsInvalid
from tests.parts.foreign import FILES, PIN
from tests.parts.imports import LISTS, choice, imported, names_of, notes_of, result_of, tags_of


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
    assert result["mirrors"][-1]["rename"] == "v2"
    apart = result_of('docker.io: {username: "$U", password: "$P"}', "quay.io/a/b: r.example.com/a/b")
    assert apart["registries"] == {"docker.io": {"username_env": "U", "password_env": "P"}}


def test_digests_need_a_tag() -> None:
    notes = notes_of(imported(FILES["image-syncer"]))
    assert any("a digest without a tag" in note for note in notes)
    (mirror,) = result_of(f"quay.io/a/b@{PIN}: r.example.com/a/b:1.0")["mirrors"]
    assert mirror["tags"] == [f"1.0@{PIN}"]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (["3.19", "3.20", "edge"], ["3.19-ours", "3.20-ours", "edge-ours"]),
        (["3.19", "3.20"], ["v3.19", "v3.20"]),
        (["3.19", "edge"], ["alpine-3", "alpine-edge"]),
        (["3.19"], ["stable"]),
        (["3.19.0", "3.20.1"], ["3.19", "3.20"]),
        (["3.19", "edge", "latest"], ["3.19", "latest", "newest"]),
        (["3.19", "edge", "latest"], ["one", "two", "latest"]),
    ],
)
def test_tags_get_the_names_of_the_target_or_a_note(source: list[str], target: list[str]) -> None:
    file = f'"a/alpine:{",".join(source)}": "r.example.com/alpine:{",".join(target)}"'
    written = imported(file)
    (mirror,) = result_of(file)["mirrors"]
    wanted = dict(zip(source, target, strict=True))
    names = names_of(mirror, tags_of("alpine"))
    assert names.items() <= wanted.items()
    noted = {
        tag: name
        for tag, name in wanted.items()
        if any(f"{tag} is not mirrored as {name}:" in one for one in notes_of(written))
    }
    assert noted == dict(wanted.items() - names.items())
    assert names


def test_renames_that_are_wrong_are_problems() -> None:
    with pytest.raises(MirrorsInvalid, match="has 1 tag, and its source has 2: expected as many"):
        imported("a/b:1,2: r.example.com/b:3", tool="image-syncer")
    with pytest.raises(MirrorsInvalid, match="not valid tags"):
        imported('"a/b:1,2": "r.example.com/b:3,-"', tool="image-syncer")
    assert "is the name of one tag" in notes_of(imported("{a/b:/^1/: r.example.com/b:3, a/c: r.example.com/c}"))[0]


@pytest.mark.parametrize("name", LISTS)
def test_expressions_match_any_part(name: str) -> None:
    (mirror,) = result_of("quay.io/a/b:/1[.]2|^v/: r.example.com/a/b")["mirrors"]
    assert choice(mirror, tags_of(name)) == {tag for tag in tags_of(name) if re.search("1[.]2|^v", tag)}
