"""The interface of a store of objects: `Store`, and `KeepsUploads` for what only some stores can do.

The operations are as few as the job allows: small objects whole, blobs as a stream or from another key, conditional
writes for the mirror index and the lock, listing and deletion. One contract suite (tests/system/stores) runs against
every store.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from reconciler.frozen import Frozen
from reconciler.oci.spec import Digest

if TYPE_CHECKING:
    from reconciler.stores.headers import Headers


CHUNK = 256 * 1024
"""Bytes of an object that are read at once, at most: each client of `serve` holds so many in memory."""


WITH_CONDITIONS = "Cloudflare R2, Amazon S3, MinIO, Ceph, or SeaweedFS from 4.48 on"
"""Servers with conditional writes, for the errors that users of other servers get."""


class Absent(Frozen):
    """Write only if there is no object under the key (`If-None-Match: *`)."""


class Matches(Frozen):
    """Write only if the object still has this ETag (`If-Match`), verbatim as the store gave it, with its quotes."""

    etag: str


Condition: TypeAlias = Absent | Matches


class Stored(Frozen):
    """An object as it was read.

    age      seconds since it was written; both times are by the store's clock
    now      the time when it was read, by the same clock
    headers  None where the store keeps none
    """

    body: bytes
    etag: str
    age: float
    now: datetime
    headers: Headers | None


class Listed(Frozen):
    """One row of a listing; `size` in bytes."""

    key: str
    size: int


class Unfinished(Frozen):
    """An upload to `key` that was begun and neither completed nor aborted. `name` is the store's ID for it."""

    key: str
    name: str


class Store(Protocol):
    """A flat map from keys to objects. Every method raises `StoreError` or a subclass, after its own retries."""

    @property
    def name(self) -> str:
        """The name of the store in messages, e.g. `r2://bucket`, without credentials."""
        ...

    def get(self, key: str) -> Stored | None:
        """Reads a whole object, or returns None if there is none. For small objects only."""
        ...

    def read(self, key: str, start: int = 0, length: int | None = None) -> Generator[bytes, None, None] | None:
        """Reads an object of any size in chunks of up to `CHUNK` bytes, or returns None if there is none.

        With `start`, or with a `length` of 1 or more, only that part is read, which has to begin within the object. A
        connection that breaks is an error. A caller that stops early closes the generator, which frees its connection.
        """
        ...

    def size(self, key: str) -> int | None:
        """Returns the size of an object in bytes, or None if there is none."""
        ...

    def list(self, prefix: str) -> Iterator[Listed]:
        """Lists every key that begins with `prefix` once, a page at a time.

        The order is not defined: R2 and S3 sort by the keys' bytes, S3 servers built on folders go folder by folder.
        """
        ...

    def put(self, key: str, body: bytes, headers: Headers, condition: Condition | None = None) -> str:
        """Writes a small object and returns its ETag.

        Raises `PreconditionFailed` if `condition` does not hold; then nothing is written.
        """
        ...

    def upload(self, key: str, chunks: Iterator[bytes], size: int, digest: Digest, headers: Headers) -> None:
        """Writes a stream of `size` bytes. Nothing is visible under `key` before the last chunk has arrived.

        What `chunks` raises is passed on, and then nothing is written: the caller verifies the bytes, and raises from
        its iterator if they are wrong. `digest` is their hash, for servers that can verify it as well.
        """
        ...

    def copy(self, origin: str, key: str, size: int, headers: Headers) -> bool:
        """Copies the object of `size` bytes under the key `origin` to `key`, within the store, without verifying it.

        Returns False, and writes nothing, if there is no such object, if the store can tell that it has another size,
        or if the store cannot copy.
        """
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Removes the objects. A key that is not there is not an error."""
        ...

    def guarded(self, check: Callable[[], None]) -> Store:
        """Returns the same store, which calls `check` right before each attempt to write or remove something.

        Whatever `check` raises is passed on, and then nothing was written.
        """
        ...


@runtime_checkable
class KeepsUploads(Protocol):
    """A store in which uploads that were begun and not finished stay, and are paid for, until they are removed.

    A folder is not one: it finds and removes by itself what a dead process left behind.
    """

    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        """Lists unfinished uploads to keys that begin with `prefix`, those of running processes included."""
        ...

    def discard(self, upload: Unfinished) -> None:
        """Aborts an upload: its parts are removed, and a process that sends more of them gets an error."""
        ...


def unfinished(store: Store, prefix: str) -> Iterator[Unfinished]:
    """Lists the unfinished uploads of any store; there are none if it does not keep them."""
    if isinstance(store, KeepsUploads):
        yield from store.unfinished(prefix)


def discard(store: Store, upload: Unfinished) -> None:
    """Aborts an upload that `unfinished` listed."""
    if isinstance(store, KeepsUploads):
        store.discard(upload)


class Stores(Frozen):
    """The store that clients pull from, and the one for the mirror index and the lock. Often the same."""

    public: Store
    state: Store


OpenStores: TypeAlias = "Callable[[], Stores]"
