"""zot's sync extension -> mirrors.yaml."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.parts.foreign import FILES
from tests.parts.imports import (
    LISTS,
    REPOSITORIES,
    choice,
    imported,
    masterminds,
    notes_of,
    repositories_of,
    result_of,
    tags_of,
)


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
        ("docker.io/team/*", None),
    ]
    assert result["mirrors"][0]["schedule"] == {"every": "6h"}


def doublestar(pattern: str, name: str) -> bool:
    """Whether a pattern whose only wildcards are `*` and a last `**` matches a name."""
    if pattern.endswith("/**"):
        return name == pattern[:-3] or name.startswith(pattern[:-2])
    return pattern == "**" or re.fullmatch(re.escape(pattern).replace(r"\*", "[^/]*"), name) is not None


def destinations(contents: list[dict[str, Any]]) -> dict[str, str]:
    """What zot does: the first entry that matches counts, and what it strips is the prefix without its stars."""
    found = {}
    for name in REPOSITORIES:
        content = next((one for one in contents if doublestar(one["prefix"].removeprefix("/"), name)), None)
        if content:
            rest = name.removeprefix(content["prefix"].strip("/*")).strip("/") if content.get("stripPrefix") else name
            found[name] = f"{content.get('destination', '').strip('/')}/{rest}".strip("/")
    return found


@pytest.mark.parametrize(
    "contents",
    [
        [{"prefix": "**"}],
        [{"prefix": "/team/**", "destination": "/x"}],
        [{"prefix": "team/**", "destination": "/x", "stripPrefix": True}],
        [{"prefix": "team/**", "stripPrefix": True}],
        [{"prefix": "team/*", "destination": "x", "stripPrefix": True}],
        [{"prefix": "*"}, {"prefix": "lib/app", "destination": "/web", "stripPrefix": True}],
        [{"prefix": "lib/app/**", "destination": "a"}, {"prefix": "lib/other"}, {"prefix": "**"}],
        [{"prefix": "lib/app"}, {"prefix": "lib"}, {"prefix": "lib/**", "destination": "y"}, {"prefix": "lib/other"}],
        [{"prefix": "lib/app/**"}, {"prefix": "lib/**", "destination": "y"}, {"prefix": "**", "destination": "z"}],
    ],
)
def test_repositories_and_where_they_go(contents: list[dict[str, Any]]) -> None:
    registry = {"urls": ["https://reg.example.com"], "content": contents}
    written = imported(json.dumps({"extensions": {"sync": {"registries": [registry]}}}))
    wanted = destinations(contents)
    # A pattern that ends with /** has the repository above it too, which is said.
    above = {match[1] for one in notes_of(written) if (match := re.search("also mirrors the repository ([^ ]+)", one))}
    found = repositories_of(written, "reg.example.com", REPOSITORIES)
    assert found == {name: target for name, target in wanted.items() if name not in above or name in found}


def test_patterns_that_no_namespace_has_are_noted() -> None:
    registry = {
        "urls": ["https://reg.example.com"],
        "content": [{"prefix": "a"}, {"prefix": "te?m/a"}, {"prefix": "**"}],
    }
    notes = notes_of(imported(json.dumps({"extensions": {"sync": {"registries": [registry]}}})))
    assert ["te?m/a' matches" in notes[0], "te?m/a' before it" in notes[1]] == [True, True]


@pytest.mark.parametrize("name", LISTS)
def test_it_chooses_what_zot_chooses(name: str) -> None:
    versions = {tag for tag in tags_of(name) if masterminds(tag, suffixes=True)}
    assert chosen(name, {"semver": True}) == versions
    assert chosen(name, {"semver": True, "regex": "^v?1"}) == {tag for tag in versions if re.search("^v?1", tag)}
    assert chosen(name, {"semver": True, "excludeRegex": "rc|al"}) == {
        tag for tag in versions if not re.search("rc|al", tag)
    }
    assert chosen(name, {"regex": r"1\.\d"}) == {tag for tag in tags_of(name) if re.search(r"1\.\d", tag)}
