"""Writes tags, lists and other objects that can change, provided that they have not changed since they were read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.stores import Absent, Matches

if TYPE_CHECKING:
    from reconciler.stores import Store, Stored
    from reconciler.stores.headers import Headers


def put_changed(store: Store, key: str, body: bytes, headers: Headers) -> None:
    """Writes an object that can change, unless it has this body and these headers already.

    Raises `PreconditionFailed` if another writer changes it in between. So a run that has lost its lock without knowing
    it yet cannot undo what the next one wrote.
    """
    put_over(store, key, store.get(key), body, headers)


def put_over(store: Store, key: str, there: Stored | None, body: bytes, headers: Headers) -> None:
    """Writes over `there`, which was read under the key, unless nothing changes. Raises as `put_changed` does."""
    # Headers of None: a folder keeps none, so there are none to compare.
    if there and there.body == body and there.headers in (None, headers):
        return
    store.put(key, body, headers, Matches(there.etag) if there else Absent())
