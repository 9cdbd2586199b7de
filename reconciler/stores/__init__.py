"""What r2mirror needs of a place to keep objects.

One contract suite (tests/system/stores) runs against every store. The operations are as few as the job allows: small
objects whole, blobs as a stream or from another key, conditional writes for the mirror index and the lock, listing and
deletion. What only some stores can do is a protocol of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from reconciler.oci.spec import Digest

if TYPE_CHECKING:
    from reconciler.stores.headers import Headers


CHUNK = 256 * 1024
"""The most bytes of an object that are read at once: what each client of `serve` holds in memory."""


WITH_CONDITIONS = "Cloudflare R2, Amazon S3, MinIO, Ceph, or SeaweedFS from 4.48 on"
"""Servers with conditional writes, to name to users whose server has none."""


@dataclass(frozen=True)
class Absent:
    """Write only if there is no object under the key (`If-None-Match: *`)."""


@dataclass(frozen=True)
class Matches:
    """Write only if the object still has this ETag (`If-Match`), which is kept verbatim, quotes included."""

    etag: str


Condition: TypeAlias = Absent | Matches


@dataclass(frozen=True)
class Stored:
    """An object as it was read.

    age      seconds since it was written, by the store's clock alone
    now      the time when it was read, by the same clock
    headers  None where the store keeps none
    """

    body: bytes
    etag: str
    age: float
    now: datetime
    headers: Headers | None


@dataclass(frozen=True)
class Listed:
    """One row of a listing; `size` in bytes."""

    key: str
    size: int


@dataclass(frozen=True)
class Unfinished:
    """An upload to `key` that was begun and neither completed nor aborted. `name` is the store's ID of it."""

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

        Whatever `chunks` raises is passed on, and then nothing was written: the caller verifies the bytes by raising
        from the end of its iterator. `digest` is what the bytes hash to, for servers that can verify it as well.
        """
        ...

    def copy(self, origin: str, key: str, size: int, headers: Headers) -> bool:
        """Copies the object of `size` bytes under the key `origin` to `key`, within the store.

        Returns False, and writes nothing, if `origin` is not there, if it is not of that size as far as the store can
        tell, or if the store cannot copy. The bytes are not verified.
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
    """What a `Store` has as well if uploads that a process began and did not finish stay in it until they are removed.

    A folder needs none of this: it finds and removes by itself what a dead process left.
    """

    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        """Lists unfinished uploads to keys that begin with `prefix`, those of running processes included."""
        ...

    def discard(self, upload: Unfinished) -> None:
        """Aborts an upload: its parts are removed, and a process that sends more of them gets an error."""
        ...


def unfinished(store: Store, prefix: str) -> Iterator[Unfinished]:
    """Lists the unfinished uploads that a store keeps, none if it keeps none."""
    if isinstance(store, KeepsUploads):
        yield from store.unfinished(prefix)


def discard(store: Store, upload: Unfinished) -> None:
    """Aborts an upload that `unfinished` listed."""
    if isinstance(store, KeepsUploads):
        store.discard(upload)


@dataclass(frozen=True)
class Stores:
    """Where the two kinds of objects go: what clients pull, and what r2mirror remembers. Often the same store."""

    public: Store
    state: Store


OpenStores: TypeAlias = "Callable[[], Stores]"
