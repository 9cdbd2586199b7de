"""zot's sync extension -> mirrors.yaml."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.parts.foreign import FILES
from tests.parts.imports import LISTS, choice, masterminds, result_of, tags_of


def chosen(name: str, tags: dict[str, Any]) -> set[str]:
    registry = {"urls": ["https://quay.io"], "content": [{"prefix": "a/b", "tags": tags}]}
    (mirror,) = result_of(json.dumps({"extensions": {"sync": {"registries": [registry]}}}))["mirrors"]
    return choice(mirror, tags_of(name))


def test_registries_and_destinations() -> None:
    result = result_of(FILES["zot"])
    assert result["registries"] == {"docker.io": {"mirrors": ["mirror.example.com"]}}
    assert [(one["source"], one.get("target")) for one in result["mirrors"]] == [
        ("docker.io/library/alpine", None),
        ("docker.io/repo1/repo", "repo"),
    ]
    assert result["mirrors"][0]["schedule"] == {"every": "6h"}


@pytest.mark.parametrize("name", LISTS)
def test_it_chooses_what_zot_chooses(name: str) -> None:
    versions = {tag for tag in tags_of(name) if masterminds(tag, suffixes=True)}
    assert chosen(name, {"semver": True}) == versions
    assert chosen(name, {"semver": True, "regex": "^v?1"}) == {tag for tag in versions if re.search("^v?1", tag)}
    assert chosen(name, {"semver": True, "excludeRegex": "rc|al"}) == {
        tag for tag in versions if not re.search("rc|al", tag)
    }
    assert chosen(name, {"regex": r"1\.\d"}) == {tag for tag in tags_of(name) if re.search(r"1\.\d", tag)}
