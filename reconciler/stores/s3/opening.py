"""Opens buckets, and boto3 only once more is needed than reading small objects."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.errors import Unreachable
from reconciler.http.proxies import read_proxies
from reconciler.regex import expression
from reconciler.stores.passing import Passing
from reconciler.stores.s3.reading import Reader, Unclear

if TYPE_CHECKING:
    from reconciler.stores import Store, Stored
    from reconciler.stores.s3.server import Server
    from reconciler.stores.s3.store import S3Store

PART_WORKERS = 8
"""Threads that send parts, for all uploads of one store together: as many as there are uploads at once."""


def open_bucket(server: Server, bucket: str, environ: Mapping[str, str], workers: int = PART_WORKERS) -> Store:
    """Opens a bucket for `workers` uploads at once. Sends nothing yet.

    With credentials from R2_ACCESS_KEY_ID and R2_SECRET_ACCESS_KEY, and a server that needs no proxy, boto3 is loaded
    later, and what only boto3 finds wrong is an error then. Otherwise raises what `stores.s3.store.open_bucket` does.
    """

    def opened() -> S3Store:
        # Not at the top: it imports boto3.
        from reconciler.stores.s3 import store

        return store.open_bucket(server, bucket, environ, workers)

    reader = _reader(server, bucket, environ)
    return LateStore(f"{server.scheme}://{bucket}", reader, opened) if reader else opened()


def _reader(server: Server, bucket: str, environ: Mapping[str, str]) -> Reader | None:
    """Returns what reads a bucket without boto3. None: boto3 has to find credentials, the server or a way to it."""
    key, secret = environ.get("R2_ACCESS_KEY_ID", ""), environ.get("R2_SECRET_ACCESS_KEY", "")
    endpoint, region = server.endpoint_url or "", server.region or ""
    if not _PLAIN.fullmatch(endpoint) or not all(_is_plain(value) for value in (key, secret, region)):
        return None
    try:
        url = urlsplit(endpoint)
        proxy = read_proxies(os.environ).of(url.scheme, url.hostname or "", url.port)
    except (ValueError, Unreachable):
        return None
    return None if proxy else Reader(f"{endpoint.rstrip('/')}/{bucket}", region, key, secret)


_PLAIN = expression(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9/._~-]*)?")
"""A URL that every client reads alike."""


def _is_plain(value: str) -> bool:
    """Whether a value can be part of a header as it is."""
    return value.isascii() and value.isprintable() and value != ""


class LateStore(Passing):
    """The `Store` in one bucket. Many threads may use it at once.

    reader  reads small objects, until boto3 is there
    opened  makes the store that uses boto3
    """

    def __init__(self, name: str, reader: Reader, opened: Callable[[], S3Store]) -> None:
        self._name = name
        self._reader = reader
        self._opened = opened
        self._made: S3Store | None = None
        self._making = Lock()

    @property
    def _store(self) -> S3Store:
        with self._making:
            self._made = self._made or self._opened()
        return self._made

    @property
    def name(self) -> str:
        return self._name

    def get(self, key: str) -> Stored | None:
        if not self._made:
            with suppress(Unclear):
                return self._reader.get(key)
        # Outside of a handler: the store reads the causes of its errors, and this one's would be among them.
        return self._store.get(key)
