"""Makes the published lists from a mirror index: `tags/list`, `_catalog`, `_ping` and the catalog page. Pure.

Distribution specification 1.1, "Content Discovery": tags in ASCII order. `_catalog` is Docker's addition to it. All are
static objects, so a client's `n` and `last` have no effect: it gets everything at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.oci.referrers import published_tags
from reconciler.target import page
from reconciler.target.layout import CATALOG, PAGE, PING, tags_key

if TYPE_CHECKING:
    from reconciler.target.index import MirrorIndex


def published_lists(index: MirrorIndex, repositories: Iterable[str]) -> dict[str, bytes | None]:
    """Returns the lists of `repositories` and those of the whole mirror: key -> bytes, None for an object to remove.

    A repository without tags is not listed, just as a registry does not know a name before its first push.
    """
    index = _without_unfinished(index)
    lists: dict[str, bytes | None] = {tags_key(name): _tags(index, name) for name in sorted(repositories)}
    named = sorted(name for name, state in index.repositories.items() if state.tags)
    return {**lists, CATALOG: _json({"repositories": named}), PING: _json({}), PAGE: page.render(index)}


def _without_unfinished(index: MirrorIndex) -> MirrorIndex:
    """`index` without the tags of restores that were cut off, of which it is not known whether they are there yet."""
    unsure = {name: one.held.keys() & one.pending for name, one in index.repositories.items() if one.pending}
    found = {
        name: replace(state, tags={tag: one for tag, one in state.tags.items() if tag not in unsure[name]})
        for name, state in index.repositories.items()
        if unsure.get(name)
    }
    return replace(index, repositories={**index.repositories, **found}) if found else index


def is_foreign(key: str, body: bytes) -> bool:
    """Whether the object under a list's key is not r2mirror's: a bucket may have had an `index.html` before us."""
    return key == PAGE and not page.is_ours(body)


def in_step(key: str, stored: bytes, body: bytes) -> bool:
    """Whether a stored list has the content of `body`."""
    return page.says_the_same(stored, body) if key == PAGE else stored == body


def _tags(index: MirrorIndex, name: str) -> bytes | None:
    state = index.repositories.get(name)
    if state is None or not state.tags:
        return None
    records = [state.attachments[one.digest] for one in state.tags.values() if one.digest in state.attachments]
    following = {tag for record in records for tag in published_tags(record)}
    # Tags are ASCII, so that sorted() gives the order of the specification.
    return _json({"name": name, "tags": sorted(state.tags.keys() | following)})


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
