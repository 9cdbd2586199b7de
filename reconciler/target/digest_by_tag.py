"""Stores the digest of a tag in the headers of its object (`edge.digest_by_tag`, experimental).

A rule at the edge can copy a digest from the path of a request, but a request for a tag has none in its path.

It is stored as Content-Language: of all headers that can be stored with an object, this is one that R2 sends to clients
and that has no other use. A rule at the edge (`edge.rules`) turns it into `Docker-Content-Digest`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.oci.spec import Digest
from reconciler.stores import Stores
from reconciler.stores.kinds import is_r2
from reconciler.stores.passing import Passing
from reconciler.target.layout import ManifestKey, parse_key
from reconciler.work.threads import BLOB_WORKERS

if TYPE_CHECKING:
    from reconciler.stores import Condition, Store, Stored
    from reconciler.stores.config import StoreConfig
    from reconciler.stores.headers import Headers


def open_stores(config: StoreConfig, environ: Mapping[str, str], workers: int = BLOB_WORKERS) -> Stores:
    """Opens stores as `StoreConfig.open` does; tags get their digest if the configuration says so."""
    stores = config.open(environ, workers)
    if is_r2(config) and config.digest_by_tag:
        return Stores(DigestByTag(stores.public), stores.state)
    return stores


class DigestByTag(Passing):
    """A `Store` that adds a tag's digest to the headers that are stored, and takes it out of those that are read.

    So callers see the headers that they wrote. A tag that was stored without its digest, or with another one, shows a
    Content-Language that differs from theirs, and is written again by whatever repairs headers.
    """

    def __init__(self, store: Store) -> None:
        self._other = store

    @property
    def _store(self) -> Store:
        return self._other

    def get(self, key: str) -> Stored | None:
        found = self._store.get(key)
        if found is None or found.headers is None:
            return found
        return replace(found, headers=_as_given(key, found.body, found.headers))

    def put(self, key: str, body: bytes, headers: Headers, condition: Condition | None = None) -> str:
        return self._store.put(key, body, _with_digest(key, body, headers), condition)

    def guarded(self, check: Callable[[], None]) -> Store:
        return DigestByTag(self._store.guarded(check))


def _with_digest(key: str, body: bytes, headers: Headers) -> Headers:
    match parse_key(key):
        case ManifestKey(reference=str()):
            return replace(headers, content_language=str(Digest.of(body, "sha256")))
        case _:
            return headers


def _as_given(key: str, body: bytes, found: Headers) -> Headers:
    """Returns the headers as they were given to `put`; others if the digest is missing or wrong."""
    given = replace(found, content_language="")
    if _with_digest(key, body, given) == found:
        return given
    return replace(found, content_language=found.content_language or "none")
