"""What r2mirror needs of a place to keep objects, and how one is opened.

One contract suite (tests/store) runs against every store. The operations are as few as the job allows: small objects
whole, blobs as a stream or from another key, conditional writes for the mirror index and the lock, listing, deletion,
and the uploads that a process left half done when it died.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from datetime import datetime

    from reconciler.oci.spec import Digest
    from reconciler.stores.headers import Headers


CHUNK = 256 * 1024
"""Bytes of an object that are read at once, at most: what each client of `serve` holds in memory."""


WITH_CONDITIONS = "Cloudflare R2, Amazon S3, MinIO, Ceph, or SeaweedFS from 4.48 on"
"""Servers that have conditional writes, for those whose server has none."""


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

    age      seconds since it was written, by the store's own clock; no clock of ours has a part in it
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
    """An upload to `key` that was begun and neither completed nor given up. `name` is the store's own for it."""

    key: str
    name: str


class Store(Protocol):
    """A flat map from key to object. Every method raises `StoreError` or one of its kinds, after its own retries."""

    @property
    def name(self) -> str:
        """What messages call this store, as in `r2://bucket`; no credential in it."""
        ...

    def get(self, key: str) -> Stored | None:
        """The whole object, or None if there is none. For small objects only."""
        ...

    def read(self, key: str, start: int = 0, length: int | None = None) -> Generator[bytes, None, None] | None:
        """The object in chunks of up to `CHUNK` bytes, for those of any size, or None if there is none.

        A break in the middle is an error. With `start`, or with a `length` of 1 or more, only that part, which has to
        begin within the object. A reader that stops early closes the generator, which gives up what it holds.
        """
        ...

    def size(self, key: str) -> int | None:
        """How many bytes the object has, or None if there is none."""
        ...

    def list(self, prefix: str) -> Iterator[Listed]:
        """Every key that begins with `prefix`, each once, a page at a time.

        In no promised order: R2 and S3 go by the keys' bytes, S3 servers built on folders go folder by folder.
        """
        ...

    def put(self, key: str, body: bytes, headers: Headers, condition: Condition | None = None) -> str:
        """Writes a small object at once and returns its ETag.

        Raises `PreconditionFailed` where `condition` does not hold; nothing is written then.
        """
        ...

    def upload(self, key: str, chunks: Iterator[bytes], size: int, digest: Digest, headers: Headers) -> None:
        """Writes a stream of `size` bytes. Nothing is visible under `key` before the last chunk has arrived.

        Whatever `chunks` raises is passed on, and then nothing was written: the caller verifies the bytes by raising
        from the end of its iterator. `digest` is what those bytes hash to, for a server that can check it as well.
        """
        ...

    def copy(self, origin: str, key: str, size: int, headers: Headers) -> bool:
        """Writes what is under the key `origin`, `size` bytes, to `key` as well; the bytes stay within the store.

        False where `origin` is not there, or not of that size as far as the store can tell, or where the store cannot
        copy: nothing was written then. The bytes are not looked at.
        """
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Removes the objects; a key that is not there is no error."""
        ...

    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        """Uploads to keys that begin with `prefix` which are not finished, those of running processes included.

        Always none where the store finds and removes by itself what a dead process left.
        """
        ...

    def discard(self, upload: Unfinished) -> None:
        """Gives such an upload up: its parts go, and whoever still sends some gets an error."""
        ...

    def guarded(self, check: Callable[[], None]) -> Store:
        """The same store, which calls `check` right before each attempt to write or remove something.

        What `check` raises is passed on, and nothing was written then.
        """
        ...


@dataclass(frozen=True)
class Stores:
    """Where the two kinds of objects go: what clients pull, and what r2mirror remembers. Often one and the same."""

    public: Store
    state: Store


OpenStores: TypeAlias = "Callable[[], Stores]"
