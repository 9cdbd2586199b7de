"""A mapping whose values are asked for when they are looked up, once each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor

from reconciler.oci.spec import Digest
from reconciler.work.threads import each


class Asked(Mapping[Digest, int]):
    """The sizes of what a target does not list. Iterates over what was asked for and is there.

    ask  returns the size of a digest in bytes, None if it is not there
    """

    def __init__(self, ask: Callable[[Digest], int | None]) -> None:
        self._ask = ask
        self._known: dict[Digest, int | None] = {}

    def look_up(self, digests: Iterable[Digest], executor: Executor) -> None:
        """Asks for many sizes side by side."""
        for _ in each(executor, self.get, [digest for digest in digests if digest not in self._known]):
            pass

    def __getitem__(self, digest: Digest) -> int:
        if digest not in self._known:
            self._known[digest] = self._ask(digest)
        size = self._known[digest]
        if size is None:
            raise KeyError(digest)
        return size

    def __iter__(self) -> Iterator[Digest]:
        return iter([digest for digest, size in self._known.items() if size is not None])

    def __len__(self) -> int:
        return sum(1 for _ in self)
