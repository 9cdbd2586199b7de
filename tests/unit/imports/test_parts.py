"""More mirrors than a file holds -> files that it includes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import MirrorsInvalid, UsageError
from reconciler.imports.parts import Block, divided, nodes_of
from reconciler.mirrors.document import MAX_BYTES, MAX_NODES, Bounds
from reconciler.mirrors.parse import parse_document

BLOCKS = st.lists(
    st.builds(Block, st.integers(1, 100_000).map("x".__mul__), st.integers(1, 9_000)), min_size=1, max_size=12
)


@given(BLOCKS)
def test_each_file_is_within_its_bounds_and_nothing_is_lost(blocks: list[Block]) -> None:
    try:
        texts = divided("version: 1\n", blocks, "mirrors.yaml")
    except UsageError:
        assert sum(len(one.text) for one in blocks) > 900_000
        return
    files = [texts.top, *texts.included.values()]
    assert all(len(one) <= MAX_BYTES for one in files)
    assert "".join(one.partition("mirrors:\n")[2] for one in files) == "".join(one.text for one in blocks)
    starts = [*texts.first[1:], len(blocks)] if texts.included else [0, len(blocks)]
    for start, end in pairwise(starts):
        assert sum(one.nodes for one in blocks[start:end]) <= MAX_NODES
    assert list(texts.included) == sorted(texts.included)


def test_without_a_name_it_has_to_be_one_file() -> None:
    with pytest.raises(UsageError, match=r"the result has 9000 mirrors, .* write it by --out FILE"):
        divided("", [Block("x", 9)] * 9000, None)
    with pytest.raises(UsageError, match=r"more than a mirrors file can include .*: import it in parts"):
        divided("", [Block("x" * 200, 9)] * 9000, "mirrors.yaml")


def test_the_folder_has_no_pattern_in_its_name() -> None:
    texts = divided("version: 1\n", [Block("x", 9)] * 9000, "a*b.yaml")
    assert 'include: ["mirrors.d/*.yaml"]' in texts.top
    assert next(iter(texts.included)) == "mirrors.d/1.yaml"


def test_values_are_counted_as_the_parser_does() -> None:
    value = {"source": "a", "tags": ["1", {"regex": "x", "newest": 1}]}
    body = b"{source: a, tags: ['1', {regex: x, newest: 1}]}"
    assert nodes_of(value) == 11
    assert parse_document(body, "it", Bounds(nodes=11)).value == value
    with pytest.raises(MirrorsInvalid, match="more than 10 values"):
        parse_document(body, "it", Bounds(nodes=10))
