"""Passes on to another store what a store of its own kind leaves as it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING

from reconciler.stores import discard, unfinished

if TYPE_CHECKING:
    from reconciler.oci.spec import Digest
    from reconciler.stores import Condition, Listed, Store, Stored, Unfinished
    from reconciler.stores.headers import Headers


class Passing(ABC):
    """A `Store`, all of whose operations are those of another. A class that derives from it overrides some of them."""

    @property
    @abstractmethod
    def _store(self) -> Store:
        """The other store."""

    @property
    def name(self) -> str:
        return self._store.name

    def get(self, key: str) -> Stored | None:
        return self._store.get(key)

    def read(self, key: str, start: int = 0, length: int | None = None) -> Generator[bytes, None, None] | None:
        return self._store.read(key, start, length)

    def size(self, key: str) -> int | None:
        return self._store.size(key)

    def list(self, prefix: str) -> Iterator[Listed]:
        return self._store.list(prefix)

    def put(self, key: str, body: bytes, headers: Headers, condition: Condition | None = None) -> str:
        return self._store.put(key, body, headers, condition)

    def upload(self, key: str, chunks: Iterator[bytes], size: int, digest: Digest, headers: Headers) -> None:
        self._store.upload(key, chunks, size, digest, headers)

    def copy(self, origin: str, key: str, size: int, headers: Headers) -> bool:
        return self._store.copy(origin, key, size, headers)

    def delete(self, keys: Iterable[str]) -> None:
        self._store.delete(keys)

    def guarded(self, check: Callable[[], None]) -> Store:
        return self._store.guarded(check)

    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        return unfinished(self._store, prefix)

    def discard(self, upload: Unfinished) -> None:
        discard(self._store, upload)
