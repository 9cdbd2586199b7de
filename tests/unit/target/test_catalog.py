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
    # Of a restore that was cut off it is not known whether the tag is there.
    sure = {
        name: {tag: one for tag, one in state.tags.items() if tag not in state.held.keys() & state.pending}
        for name, state in index.repositories.items()
    }
    for name, state in index.repositories.items():
        body = lists[tags_key(name)]
        assert (body is None) == (not sure[name])
        tagged = {one.digest for one in sure[name].values()}
        along = {
            tag for digest in tagged & state.attachments.keys() for tag in published_tags(state.attachments[digest])
        }
        assert body is None or json.loads(body) == {"name": name, "tags": sorted({*sure[name], *along}, key=str.encode)}
    named = [name for name, tags in sure.items() if tags]
    assert json.loads(lists[CATALOG] or b"") == {"repositories": sorted(named, key=str.encode)}


@given(draw.indexes, draw.targets)
def test_a_repository_that_the_index_lacks_has_no_list(index: MirrorIndex, target: str) -> None:
    lists = published_lists(index, [target])
    assert set(lists) == {CATALOG, PING, PAGE, tags_key(target)}
    assert target in index.repositories or lists[tags_key(target)] is None
