"""The published lists follow from the index and from nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import given

from reconciler.oci.referrers import published_tags
from reconciler.target.catalog import published_lists
from reconciler.target.layout import CATALOG, PAGE, PING, tags_key
from tests import strategies as draw

if TYPE_CHECKING:
    from reconciler.target.index import MirrorIndex


@given(draw.indexes)
def test_lists_name_every_tag_in_ascii_order_and_no_empty_repository(index: MirrorIndex) -> None:
    lists = published_lists(index, index.repositories)
    assert lists.keys() == {CATALOG, PING, PAGE, *(tags_key(name) for name in index.repositories)}
    for name, state in index.repositories.items():
        body = lists[tags_key(name)]
        assert (body is None) == (not state.tags)
        tagged = {one.digest for one in state.tags.values()}
        along = {
            tag for digest in tagged & state.attachments.keys() for tag in published_tags(state.attachments[digest])
        }
        assert body is None or json.loads(body) == {"name": name, "tags": sorted({*state.tags, *along}, key=str.encode)}
    named = [name for name, state in index.repositories.items() if state.tags]
    assert json.loads(lists[CATALOG] or b"") == {"repositories": sorted(named, key=str.encode)}


@given(draw.indexes, draw.targets)
def test_a_repository_that_the_index_lacks_has_no_list(index: MirrorIndex, target: str) -> None:
    lists = published_lists(index, [target])
    assert set(lists) == {CATALOG, PING, PAGE, tags_key(target)}
    assert (lists[tags_key(target)] is None) == (
        target not in index.repositories or not index.repositories[target].tags
    )
