"""The example for Renovate finds the pins of mirrors.yaml, each with its source. Renovate's engine is RE2, as here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from reconciler.mirrors.load import load_mirrors
from reconciler.mirrors.patterns import Pinned

ROOT = Path(__file__).parents[2]
(MANAGER,) = json.loads((ROOT / "examples" / "renovate.json").read_text())["customManagers"]
A, B, C, D = (f"sha256:{letter * 64}" for letter in "abcd")

BLOCK = f"""\
version: 1
store: {{type: file, path: ./mirror}}
mirrors:
  - source: quay.io/prometheus/prometheus  # metrics
    target: prom
    tags:
      - "v3.1.0@{A}"
      # the one before
      - v3.0.1@{B}

      - {{semver: ">=3", newest: 1}}
      - stable
    exclude: ["v3.0.0"]
  - source: nginx
    tags: [latest]
  - target: r
    signed_by: []
    source: "reg.example.com:5000/a/r"
    tags: ['1@{C}']
"""
FLOW = f"""\
version: 1
store: {{type: file, path: ./mirror}}
mirrors:
- {{source: redis, tags: ["7.4@{A}", "7.2@{B}"]}}
- {{source: 'ghcr.io/x/y', tags: [latest]}}
- tags:
  - 1.0@{C}
  source: ghcr.io/x/z
- {{source: "oci:./layout", target: l, tags: ["1"]}}
- source: ghcr.io/x/w
  tags:
  - name@{D}
"""


def found(text: str) -> Iterator[tuple[str, str, str]]:
    """What Renovate extracts by the strategy `recursive`: a match of the first expression is searched by the second."""
    entry, pin = map(re2.compile, MANAGER["matchStrings"])
    for match in entry.finditer(text):
        for one in pin.finditer(match.group(0)):
            yield match.group("depName"), one.group("currentValue"), one.group("currentDigest")


def pins(text: str, file: Path) -> list[tuple[str, str, str]]:
    file.write_text(text)
    mirrors = load_mirrors(file, None).mirrors
    return [(one.source, pin.tag, str(pin.digest)) for one in mirrors for pin in one.tags if isinstance(pin, Pinned)]


def in_full(name: str) -> str:
    return name if "." in name.partition("/")[0] else f"docker.io/library/{name}"


@pytest.mark.parametrize("text", [BLOCK, BLOCK.replace("\n", "\r\n"), FLOW], ids=["block", "CRLF", "flow"])
def test_each_pin_has_its_source(text: str, tmp_path: Path) -> None:
    # Of an entry whose tags come before its source, none is found; and none has the source of another.
    expected = [one for one in pins(text, tmp_path / "mirrors.yaml") if one[0] != "ghcr.io/x/z"]
    assert [(in_full(name), tag, digest) for name, tag, digest in found(text)] == expected
    assert len(expected) == 3


KEYS = st.permutations(["source", "tags", "target", "prune"])
NAMES = st.sampled_from(["quay.io/a/b", "docker.io/library/nginx", "reg.example.com:5000/c", "ghcr.io/source/sources"])
ITEMS = st.lists(st.sampled_from([f"'1@{A}'", f"2-sou@{B}", f'"s@{C}"', "source-1", '"v"', "{glob: 's*'}"]), min_size=1)


def written(keys: list[str], name: str, items: list[str], *, flow: bool) -> str:
    """An entry of mirrors.yaml."""
    values = {"source": name, "tags": f"[{', '.join(items)}]", "target": "source/sour", "prune": "true"}
    if flow:
        return "- {" + ", ".join(f"{key}: {values[key]}" for key in keys) + "}\n"
    values["tags"] = "".join(f"\n  - {one}" for one in items)
    return "- " + "\n  ".join(f"{key}: {values[key]}" for key in keys) + "\n"


@given(st.lists(st.tuples(KEYS, NAMES, ITEMS, st.booleans()), min_size=1, max_size=4))
def test_no_pin_has_the_source_of_another_entry(entries: list[tuple[list[str], str, list[str], bool]]) -> None:
    text = "mirrors:\n" + "".join(written(keys, name, items, flow=flow) for keys, name, items, flow in entries)
    pinned = [
        (name, tag, digest)
        for keys, name, items, _ in entries
        if keys.index("source") < keys.index("tags")
        for tag, _, digest in (item.strip("\"'").partition("@") for item in items)
        if digest
    ]
    assert list(found(text)) == pinned


def test_the_files_are_those_of_mirrors() -> None:
    (pattern,) = MANAGER["managerFilePatterns"]
    names = ["mirrors.yaml", "teams/mirrors.yml", "mirrors.yaml.bak", "mymirrors.yaml"]
    assert [one for one in names if re2.search(pattern.strip("/"), one)] == names[:2]
