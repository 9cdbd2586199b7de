"""Writes the published lists: tags/list, _catalog, _ping and the catalog page."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from reconciler.target.catalog import is_foreign
from reconciler.target.conditional_writes import put_over
from reconciler.target.layout import PAGE, list_headers
from reconciler.target.page.pulls import with_pulls, with_pulls_of
from reconciler.target.protocol import KeepsObjects
from reconciler.work.threads import each

if TYPE_CHECKING:
    from reconciler.stores import Stored
    from reconciler.target.page.pulls import Pulls
    from reconciler.target.protocol import Target

logger = logging.getLogger(__name__)


def publish_lists(
    destination: Target, lists: Mapping[str, bytes | None], executor: Executor, pulls: Pulls | None = None
) -> None:
    """Writes the lists that differ from what is stored, and removes those that are None. Raises as `put_changed` does.

    pulls  what the catalog page shows of them; None: what it showed before

    An `index.html` that r2mirror did not write stays as it is: the bucket may have had one before. A target that is not
    made of objects lists by itself.
    """
    if not isinstance(destination, KeepsObjects):
        return
    store = destination.public

    def publish(item: tuple[str, bytes | None]) -> None:
        key, body = item
        there = store.get(key)
        if there and is_foreign(key, there.body):
            logger.warning(
                "%s/%s is not a page of r2mirror's and stays as it is; there is no catalog page", store.name, key
            )
        elif body is not None:
            whole = _with_pulls(body, there, pulls) if key == PAGE else body
            put_over(store, key, there, whole, list_headers(key))
        elif there:
            store.delete([key])

    for _ in each(executor, publish, lists.items()):
        pass


def _with_pulls(page: bytes, there: Stored | None, pulls: Pulls | None) -> bytes:
    if pulls:
        return with_pulls(page, pulls)
    return with_pulls_of(page, there.body) if there else page
