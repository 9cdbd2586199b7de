"""A target that is made of objects in a store: a bucket or a folder in the layout of a registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.target.inventory import held_of, inventories
from reconciler.target.layout import ManifestKey, parse_key

if TYPE_CHECKING:
    from reconciler.stores import Listed, Store
    from reconciler.target.inventory import Inventory
    from reconciler.target.layout import Key
    from reconciler.target.protocol import Kept, Knows
    from reconciler.target.repository import Repository


class InStore(Frozen):
    """A target in the store `public`. Only r2mirror writes there, under the lock in `state`."""

    public: Store
    state: Store

    @property
    def name(self) -> str:
        return self.public.name

    def repository(self, name: str) -> Repository:
        # Imported here: a run that finds nothing new opens none.
        from reconciler.target.repository import Repository

        return Repository(self.public, name)

    def delete(self, items: Iterable[Key]) -> tuple[Kept, ...]:
        self.public.delete(str(item) for item in items)
        return ()

    def tags(self, repositories: Iterable[str]) -> Iterator[tuple[str, str]]:
        del repositories  # One listing shows all.
        for row in self.public.list("v2/"):
            match parse_key(row.key):
                case ManifestKey(repository, str(tag)):
                    yield repository, tag
                case _:
                    pass

    def inventories(self, repositories: Iterable[str]) -> tuple[int, Mapping[str, Inventory]]:
        del repositories
        size = 0

        def rows() -> Iterator[Listed]:
            nonlocal size
            for row in self.public.list("v2/"):
                size += row.size
                yield row

        there = inventories(rows())
        return size, there

    def holds_any(self, repositories: Iterable[str]) -> str | None:
        return held_of(self.public, tuple(repositories))

    def guarded(self, check: Callable[[], None]) -> InStore:
        return InStore(self.public.guarded(check), self.state)

    def owning(self, knows: Knows) -> InStore:
        del knows
        return self

    def close(self) -> None:
        """Nothing to close: the clients of stores end with the process."""
