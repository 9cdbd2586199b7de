"""regsync.yml -> mirrors.yaml."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from reconciler.errors import MirrorsInvalid
from reconciler.imports.written import NothingTranslated
from tests.parts.imports import (
    LISTS,
    REPOSITORIES,
    choice,
    imported,
    names_of,
    notes_of,
    repositories_of,
    result_of,
    tags_of,
)

FILE = """
    version: 1
    creds:
      - registry: docker.io
        user: '{{env "HUB_USER"}}'
        pass: '{{env "HUB_TOKEN"}}'
      - registry: reg.example.com:5000
        tls: disabled
        user: admin
        pass: hunter2
    defaults:
      interval: 1h30m
      parallel: 3
      ratelimit: {min: 50, retry: 15m}
    sync:
      # our base image
      - source: alpine:3.20
        target: reg.example.com:5000/base/alpine:3.20
        type: image # weekly
      - {source: "alpine:1.20", target: "reg.example.com:5000/base/alpine", type: image}
      - {source: "alpine:1.20", target: "other.example.com/base/alpine", type: image}
      - {source: "alpine:3.20", target: "other.example.com/base/alpine", type: image}
      - source: docker.io/library/nginx
        target: '{{ env "OTHER" }}/nginx'
        type: repository
        tags:
          allow: [latest, '1\\.2[5-9].*']
          deny: ['.*-perl']
        backup: "old-{{.Ref.Tag}}"
        referrers: true
        schedule: "0 4 * * *"
        platforms: [linux/amd64]
      - {source: quay.io, target: reg.example.com:5000/quay, type: registry, repos: {deny: [b]}}
"""


def test_what_a_file_says_is_kept() -> None:
    result = result_of(FILE)
    assert result["stores"]["reg-example-com-5000"]["registry"] == "reg.example.com:5000"
    assert result["stores"]["other"]["registry"] == "${OTHER}"
    assert result["schedule"] == {"every": "90m"}
    assert result["registries"] == {
        "docker.io": {"username_env": "HUB_USER", "password_env": "HUB_TOKEN", "quota_reserve": 50},
        "reg.example.com:5000": {"plain_http": True},
    }
    assert result["defaults"] == {"prune": False}
    alpine, nginx = result["mirrors"]
    assert alpine == {
        "source": "docker.io/library/alpine",
        "target": "base/alpine",
        "tags": ["3.20", "1.20"],
        "stores": ["reg-example-com-5000", "other-example-com"],
    }
    assert nginx["tags"] == ["latest", {"regex": r"1\.2[5-9].*", "exclude": [{"regex": ".*-perl"}]}]
    assert nginx["stores"] == ["other"]
    assert (nginx["referrers"], nginx["platforms"]) == (True, ["linux/amd64"])
    assert nginx["schedule"] == {"cron": "0 4 * * *"}


def test_what_it_cannot_say_is_noted_and_beside_its_mirror() -> None:
    written = imported(FILE)
    assert [note.partition(":")[0] for note in notes_of(written)] == [
        "creds[1].user",
        "creds[1].pass",
        "defaults.parallel",
        "defaults.ratelimit.retry",
        "sync[4].backup",
        "sync[5]",
    ]
    assert "quay.io does not list all of its repositories" in notes_of(written)[-1]
    lines = written.text.splitlines()
    nginx = lines.index("  - source: docker.io/library/nginx")
    assert lines[nginx - 1].startswith("  # sync[4].backup (line 29): has no counterpart")
    alpine = lines.index("  - source: docker.io/library/alpine")
    assert lines[alpine - 2 : alpine] == ["  # our base image", "  # weekly"]
    assert "hunter2" not in written.text + str(written.notes)


def go_matches(pattern: str, tag: str) -> bool:
    return re.search(f"^{pattern}$", tag) is not None


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(
    ("allow", "deny"),
    [
        ([r"v?3\..*"], []),
        ([r"[0-9]+\.[0-9]+|latest"], [".*rc.*"]),
        (["(latest|edge)", "v1.*"], [r"v1\.1.*", "1.*"]),
        ([], [".*-.*"]),
    ],
)
def test_allowed_and_denied(name: str, allow: list[str], deny: list[str]) -> None:
    tags = json.dumps({"allow": allow, "deny": deny})
    file = f"sync: [{{source: a/b, target: r.example.com/a/b, type: repository, tags: {tags}}}]"
    (mirror,) = result_of(file)["mirrors"]
    assert choice(mirror, tags_of(name)) == {
        tag
        for tag in tags_of(name)
        if (not allow or any(go_matches(one, tag) for one in allow)) and not any(go_matches(one, tag) for one in deny)
    }


Numbers = tuple[tuple[int, ...], int]


def version(tag: str) -> Numbers | None:
    """regsync's own reading: numbers, and 0 for any suffix, which comes before none."""
    head, _, suffix = tag.removeprefix("v").partition("+")[0].partition("-")
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)*", head):
        return None
    numbers = [int(one) for one in head.split(".")]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return tuple(numbers), 0 if suffix else 1


RANGES: dict[str, Callable[[Numbers], bool]] = {
    ">=3.18.0": lambda one: one >= ((3, 18), 1),
    ">=1.2 <18": lambda one: ((1, 2), 1) <= one < ((18,), 1),
    "~8.3": lambda one: ((8, 3), 1) <= one < ((8, 4), 1),
    ">16.1": lambda one: one > ((16, 1), 1),
    "<=3.20": lambda one: one <= ((3, 20), 1),
    "^0.0": lambda one: ((0,), 1) <= one < ((0, 0, 1), 1),
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("text", RANGES)
def test_ranges(name: str, text: str) -> None:
    file = f"sync: [{{source: a/b, target: r.example.com/a/b, type: repository, tags: {{semverRange: ['{text}']}}}}]"
    (mirror,) = result_of(file)["mirrors"]
    holds = RANGES[text]
    assert choice(mirror, tags_of(name)) == {
        tag for tag in tags_of(name) if (read := version(tag)) is not None and holds(read)
    }


def test_sets_are_alternatives() -> None:
    file = """
    sync:
      - source: a/b
        target: r.example.com/a/b
        type: repository
        tagSets: [{semverRange: ['>=3.19 <3.21'], deny: ['.*_.*']}, {allow: [edge]}]
    """
    (mirror,) = result_of(file)["mirrors"]
    chosen = choice(mirror, tags_of("alpine"))
    assert {"edge", "3.19.1", "3.20"} <= chosen
    assert not {"3.18", "3.21", "latest"} & chosen


def test_everything_that_is_wrong_is_said_at_once() -> None:
    file = """
    sync:
      - {source: "UPPER/x", target: r.example.com/a, type: image}
      - {source: a, target: r.example.com/a, type: mirror}
      - {source: [a], target: r.example.com/a, type: image}
      - 7
    """
    with pytest.raises(MirrorsInvalid) as refused:
        imported(file)
    assert [problem.line for problem in refused.value.problems] == [3, 4, 5, 6]


def test_two_sources_of_one_target_are_one_mirror_and_a_note() -> None:
    file = """
    sync:
      - {source: a/b, target: r.example.com/x, type: repository}
      - {source: c/d, target: r.example.com/x, type: repository}
      - {source: e/f, target: r.example.com/x, type: repository, tags: {allow: ['1.*']}}
    """
    written = imported(file)
    (mirror,) = result_of(file)["mirrors"]
    assert mirror == {"source": ["docker.io/a/b", "docker.io/c/d"], "target": "x", "tags": [{"glob": "*"}]}
    assert notes_of(written) == [
        "sync[1]: docker.io/c/d follows docker.io/a/b, which goes to x too: a tag that both have comes from the first",
        (
            "sync[2]: docker.io/e/f is left out: target x is also the target of mirrors[0] on line 15; "
            "give one of them another target, or put their tags into one mirror"
        ),
    ]


def test_an_image_gets_the_tag_of_its_target() -> None:
    file = """
    sync:
      - {source: "a/b:1.0", target: "r.example.com/x:1.0-ours", type: image}
      - {source: "a/b:2.0", target: "r.example.com/x:2.0-ours", type: image}
      - {source: "a/c", target: "r.example.com/c:stable", type: image}
      - {source: "a/d:1@sha256:%s", target: "r.example.com/d:one", type: image}
    """ % ("a" * 64)
    first, second, third = result_of(file)["mirrors"]
    assert names_of(first, ("1.0", "2.0", "latest")) == {"1.0": "1.0-ours", "2.0": "2.0-ours"}
    assert names_of(second, ("1.0", "latest")) == {"latest": "stable"}
    assert third["tags"] == [f"one@sha256:{'a' * 64}"]
    assert imported(file).notes == ()


@pytest.mark.parametrize(
    ("allow", "deny"),
    [
        ([], []),
        ([".*"], [".*-test", "lib/app/.*"]),
        (["team/.*", "library/alpine"], [".*-test", "team/old.*"]),
        (["lib/.*", "app", "x-test"], ["x-.*"]),
        (["team/.+"], ["lib/.*"]),
    ],
)
def test_repositories_of_a_registry(allow: list[str], deny: list[str]) -> None:
    repos = json.dumps({"allow": allow, "deny": deny})
    file = f"sync: [{{source: reg.example.com, target: r.example.com/all, type: registry, repos: {repos}}}]"
    assert repositories_of(imported(file), "reg.example.com", REPOSITORIES) == {
        name: f"all/{name}"
        for name in REPOSITORIES
        if (not allow or any(go_matches(one, name) for one in allow)) and not any(go_matches(one, name) for one in deny)
    }


@pytest.mark.parametrize("repos", ["{allow: ['(a|b)/x']}", "{deny: ['[ab].*']}", "{allow: ['t/.*'], deny: ['.*/x/y']}"])
def test_expressions_for_repositories_that_no_namespace_has_are_noted(repos: str) -> None:
    with pytest.raises(NothingTranslated) as refused:
        imported(f"sync: [{{source: reg.example.com, target: r.example.com, type: registry, repos: {repos}}}]")
    assert str(refused.value.notes[0]).startswith("config.yml:1:8: sync[0]: ")
