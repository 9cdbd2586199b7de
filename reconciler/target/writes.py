"""Writes objects of the bucket that can change, on condition that they have not changed since they were read."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from reconciler.stores import Absent, Matches
from reconciler.target.catalog import is_foreign
from reconciler.target.layout import list_headers
from reconciler.work.threads import BLOB_WORKERS, completed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Executor

    from reconciler.stores import Store, Stored
    from reconciler.stores.headers import Headers

logger = logging.getLogger(__name__)


def put_changed(store: Store, key: str, body: bytes, headers: Headers) -> None:
    """Writes an object that can change, unless it is like that already.

    Raises `PreconditionFailed` if it changed since it was looked at: a writer that has lost its lock and does not know
    it yet cannot undo what the next one wrote.
    """
    _put_over(store, key, store.get(key), body, headers)


def _put_over(store: Store, key: str, there: Stored | None, body: bytes, headers: Headers) -> None:
    if there and there.body == body and there.headers in (None, headers):
        return
    store.put(key, body, headers, Matches(there.etag) if there else Absent())


def publish_lists(store: Store, lists: Mapping[str, bytes | None], executor: Executor) -> None:
    """Writes the published lists, or removes them (None), unless they are like that. Raises as `put_changed` does.

    A page under a list's key that r2mirror did not write stays as it is.
    """

    def publish(item: tuple[str, bytes | None]) -> None:
        key, body = item
        there = store.get(key)
        if there and is_foreign(key, there.body):
            logger.warning(
                "%s/%s is not a page of r2mirror's and stays as it is; there is no catalog page", store.name, key
            )
        elif body is not None:
            _put_over(store, key, there, body, list_headers(key))
        elif there:
            store.delete([key])

    for result in completed(executor, publish, lists.items(), 2 * BLOB_WORKERS, pause=1.0):
        if result:
            result[1].result()
