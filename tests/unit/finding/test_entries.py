"""Entries of mirrors.yaml for images in use: they are valid, and choose each of them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.finding.coverage import missing_in_file
from reconciler.finding.entries import entries
from reconciler.finding.found import Found
from reconciler.mirrors.load import load_mirrors

HEX = "a" * 64


def uses(*references: str) -> list[Found]:
    return [Found("deploy/web.yaml", 14, 9, reference, "image") for reference in references]


def test_a_pin_or_a_line() -> None:
    found = uses(
        "redis",
        "redis:7.4.1",
        "redis:7.4.1-alpine3.20",
        f"quay.io/a/redis:1@sha256:{HEX}",
        f"ghcr.io/n/n@sha256:{HEX}",
        "a/b:on",
    )
    assert (
        entries(found)
        == f"""\
mirrors:
  - source: docker.io/a/b  # deploy/web.yaml:14
    tags:
      - "on"
  - source: docker.io/library/redis  # deploy/web.yaml:14
    tags:
      - "7.4.1"
      - "7.4.1-alpine3.20"
      - latest
      - {{semver: ">=7.4.1 <8", newest: 1, per: minor}}
      - {{semver: ">=7.4.1 <8", variant: "alpine*", newest: 1, per: minor}}
  # - source: ghcr.io/n/n  # deploy/web.yaml:14
  #   tags:
      # sha256:{HEX} is used without a tag: write TAG@sha256:{HEX}
  - source: quay.io/a/redis  # deploy/web.yaml:14
    tags:
      - "1@sha256:{HEX}"
"""
    )
    assert entries([]) == "mirrors: []\n"


NAMES = st.sampled_from(
    ["redis", "library/redis", "quay.io/library/redis", "localhost:5000/tags/x", "a/manifests", "10.0.0.1:80/a"]
)
TAGS = st.one_of(
    st.sampled_from(
        ["latest", "null", "1", "1.2", "v1.2.3", "1.2.3-rc1", "1.2.3-alpine3.20", "2024.01.02", "1_2", "0x10", "1e3"]
    ),
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,12}", fullmatch=True),
)
REFERENCES = st.builds(
    lambda name, tag, pin: f"{name}:{tag}{f'@sha256:{HEX}' if pin else ''}",
    NAMES,
    TAGS,
    st.sampled_from([False, False, True]),
)


@given(st.lists(REFERENCES, min_size=1, max_size=8))
def test_whatever_is_in_use_is_chosen(references: list[str]) -> None:
    found = uses(*references)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "mirrors.yaml"
        file.write_text("version: 1\nstore: {type: file, path: m}\n" + entries(found))
        assert missing_in_file(found, load_mirrors(file, None)) == ()


@pytest.mark.parametrize("name", ["a\nb.yaml", "\x1b[31m"])
def test_a_name_of_a_file_cannot_write_into_mirrors_yaml(name: str) -> None:
    text = entries([Found(name, 1, 1, "x:y", "image")])
    assert text == 'mirrors:\n  - source: docker.io/library/x\n    tags:\n      - "y"\n'
