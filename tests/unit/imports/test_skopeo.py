"""The YAML of `skopeo sync` -> mirrors.yaml."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.parts.imports import LISTS, choice, imported, masterminds, notes_of, result_of, tags_of

FILE = """
    registry.example.com:
        images:
            busybox: []
            team/redis:
                - "1.0"
                - 2.10
                - "sha256:0000000000000000000000000000000011111111111111111111111111111111"
        images-by-tag-regex:
            nginx: ^1\\.13\\.[12]-alpine-perl$
        images-by-semver:
            alpine: ">= 3.12.0"
        credentials:
            username: john
            password: this is a secret
        tls-verify: true
        cert-dir: /home/john/certs
    quay.io:
        tls-verify: false
        images:
            coreos/etcd: [latest]
"""


def test_what_a_file_says_is_kept() -> None:
    result = result_of(FILE)
    assert {mirror["source"]: mirror["tags"] for mirror in result["mirrors"]} == {
        "registry.example.com/busybox": [{"glob": "*"}],
        "registry.example.com/team/redis": ["1.0", "2.10"],
        "registry.example.com/nginx": [{"regex": r"1\.13\.[12]-alpine-perl"}],
        "registry.example.com/alpine": [{"semver": ">= 3.12.0 || >=10000", "regex": r"v?\d+(?:\.\d+){0,2}"}],
        "quay.io/coreos/etcd": ["latest"],
    }
    assert result["store"] == {"type": "r2", "account_id": "${R2_ACCOUNT_ID}", "bucket": "${R2_BUCKET}"}


def test_what_it_cannot_say_is_noted_without_the_credentials() -> None:
    written = imported(FILE)
    assert [note.partition(": ")[0] for note in notes_of(written)] == [
        "registry.example.com.images.team/redis[2]",
        "registry.example.com.credentials",
        "registry.example.com.cert-dir",
        "quay.io.tls-verify",
    ]
    assert "secret" not in written.text
    assert "john" not in written.text


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("pattern", [r"^v?3\.1", "alpine", r"^1\.\d+\.\d+$", "rc|beta$", "^(?:18|20)-", r"[a-z]+\d"])
def test_expressions_match_any_part(name: str, pattern: str) -> None:
    (mirror,) = result_of(f"example.com: {{images-by-tag-regex: {{a: '{pattern}'}}}}")["mirrors"]
    assert choice(mirror, tags_of(name)) == {tag for tag in tags_of(name) if re.search(pattern, tag)}


RANGES: dict[str, Callable[[tuple[int, ...]], bool]] = {
    ">= 3.12.0": lambda one: one >= (3, 12, 0),
    "^1.2 || ~3.18": lambda one: (1, 2, 0) <= one < (2,) or (3, 18, 0) <= one < (3, 19),
    ">1.25, <3000": lambda one: (1, 26) <= one < (3000,),
    "1.x - 3": lambda one: (1,) <= one < (4,),
    "!=3.18.1, >3.18": lambda one: one >= (3, 19),
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("text", RANGES)
def test_ranges(name: str, text: str) -> None:
    (mirror,) = result_of(f"example.com: {{images-by-semver: {{a: '{text}'}}}}")["mirrors"]
    holds = RANGES[text]
    assert choice(mirror, tags_of(name)) == {
        tag for tag in tags_of(name) if (read := masterminds(tag)) is not None and holds(read)
    }
