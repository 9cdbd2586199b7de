"""Which entries of mirrors.yaml get a note that they mean something else than in earlier releases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.mirrors.load import load_with_notes

COUNTED, FLOATING, FROZEN, DATES, BUILDS, PRERELEASES = (
    "per: variant",
    "`floating: true` adds",
    "no longer immutable",
    "five or more digits",
    "no longer part of the variant",
    "names a pre-release",
)


def notes(folder: Path, **mirror: Any) -> list[tuple[str, str]]:
    path = folder / "mirrors.yaml"
    head = {"version": 1, "store": {"type": "file", "path": "./m"}}
    path.write_text(json.dumps({**head, "mirrors": [{"source": "docker.io/a/b", "tags": ["latest"], **mirror}]}))
    return [(note.where, note.message) for note in load_with_notes(path, None).notes]


@pytest.mark.parametrize(
    ("entry", "kinds"),
    [
        ({"semver": "^1", "newest": 2, "variant": "alpine*"}, [COUNTED, FLOATING, BUILDS]),
        ({"semver": "^1", "newest": 2, "variant": "*"}, [COUNTED, FLOATING]),
        ({"semver": "^1", "newest": 2, "variant": "alpine"}, [FLOATING, BUILDS]),
        ({"semver": "^1"}, [BUILDS]),
        ({"semver": ">=1"}, [DATES, BUILDS]),
        ({"semver": ">=1 <100"}, [BUILDS]),
        ({"semver": ">=20240101"}, [BUILDS]),
        ({"semver": "^1.0.0-rc1", "variant": "*"}, [PRERELEASES]),
        ({"semver": "^1.0.0-rc1", "variant": "*", "prereleases": True}, []),
        ({"semver": "^1", "newest": 2, "variant": "alpine*", "per": "variant"}, []),
        ({"semver": "^1", "newest": 2, "floating": False}, []),
        ({"semver": "^1", "newest": 2, "variant": ["alpine", "slim*"]}, []),
        ({"glob": "1*"}, []),
        ("1.2.3", []),
    ],
)
def test_an_entry_of_tags_gets_the_notes_of_what_changed_for_it(tmp_path: Path, entry: Any, kinds: list[str]) -> None:
    found = notes(tmp_path, tags=["latest", entry])
    assert {where for where, _ in found} == ({"mirrors[0].tags[1]"} if kinds else set())
    assert len(found) == len(kinds)
    assert all(kind in words for kind, (_, words) in zip(kinds, found, strict=True))


def test_other_lists_get_the_notes_that_concern_them(tmp_path: Path) -> None:
    found = notes(tmp_path, exclude=[{"semver": ">=4"}], immutable=[{"semver": ">=0"}])
    assert [where for where, _ in found] == [
        "mirrors[0].exclude[0]",
        "mirrors[0].exclude[0]",
        "mirrors[0].immutable[0]",
    ]
    assert all(kind in words for kind, (_, words) in zip([DATES, BUILDS, FROZEN], found, strict=True))


def test_defaults_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "mirrors.yaml"
    path.write_text(
        "version: 1\nstore: {type: file, path: ./m}\n"
        'defaults:\n  immutable:\n    - {semver: ">=0"}\n'
        "mirrors:\n  - {source: docker.io/a/b, tags: [latest]}\n"
    )
    (note,) = load_with_notes(path, None).notes
    assert (note.where, note.line, note.column) == ("defaults.immutable[0]", 5, 7)
    assert FROZEN in note.message


def test_the_commented_example_is_written_for_this_release() -> None:
    assert load_with_notes(Path(__file__).parents[3] / "mirrors.yaml", None).notes == ()
