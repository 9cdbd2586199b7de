"""The published lists: what `tags/list`, `_catalog` and `_ping` say for a mirror index. Pure.

Distribution specification 1.1, "Content Discovery": tags in ASCII order. `_catalog` is Docker's addition to it. All are
static, so a client's `n` and `last` are not honoured: it gets everything at once.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from reconciler.layout import CATALOG, PING, tags_key
from reconciler.referrers import published_tags

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.index import MirrorIndex


def published_lists(index: MirrorIndex, repositories: Iterable[str]) -> dict[str, bytes | None]:
    """Key -> bytes of every list that follows from `index`, of `repositories` and of the whole; None: no such object.

    A repository without a tag is not listed, as a registry does not know a name before its first push.
    """
    lists: dict[str, bytes | None] = {tags_key(name): _tags(index, name) for name in sorted(repositories)}
    named = sorted(name for name, state in index.repositories.items() if state.tags)
    return {**lists, CATALOG: _json({"repositories": named}), PING: _json({})}


def _tags(index: MirrorIndex, name: str) -> bytes | None:
    state = index.repositories.get(name)
    if state is None or not state.tags:
        return None
    records = [state.attached[one.digest] for one in state.tags.values() if one.digest in state.attached]
    following = {tag for record in records for tag in published_tags(record)}
    return _json({"name": name, "tags": sorted(state.tags.keys() | following)})


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
