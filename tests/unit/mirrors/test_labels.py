"""Names for files without a `name`, of which there are several in a call."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.mirrors.labels import labels
from reconciler.mirrors.schema_files import load_schema

NAME = load_schema("mirrors")["properties"]["name"]["pattern"]
PARTS = st.lists(st.sampled_from(["a.yaml", "b.yaml", "teams", "..", "A b", "-", "x" * 70]), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a.yaml", "teams/b.yaml"], ["a.yaml", "b.yaml"]),
        (["one/mirrors.yaml", "two/mirrors.yaml", "c.yaml"], ["one-mirrors.yaml", "two-mirrors.yaml", "c.yaml"]),
        (["mirrors.yaml", "two/mirrors.yaml"], ["mirrors.yaml-1", "two-mirrors.yaml"]),
        (["/etc/A b.yaml", "../Z.yml"], ["a-b.yaml", "z.yml"]),
        (["a.yaml/a.yaml", "a.yaml/..", ".."], ["a.yaml", "file-2", "file-3"]),
    ],
)
def test_as_much_of_a_path_as_tells_it_from_others(paths: list[str], names: list[str]) -> None:
    assert list(labels([Path(one) for one in paths]).values()) == names


@given(st.lists(PARTS.map(lambda parts: Path(*parts)), min_size=2, max_size=5, unique=True))
def test_labels_differ_and_are_valid_names(paths: list[Path]) -> None:
    found = labels(paths)
    assert list(found) == paths
    assert len(set(found.values())) == len(paths)
    assert all(re.search(NAME, one) for one in found.values())
